//! Several processors share the work and produce the same rows as one.

use crate::harness::{Hub, Process, Writer};

const EVENTS: u64 = 12_000;

#[tokio::test(flavor = "multi_thread")]
async fn three_processors_give_the_rows_of_one() {
    let hub = Hub::start().await;
    let mut writer = Writer::new(hub.dir.path().join("cowrie.json"));
    writer.append(EVENTS);
    let ports = [0, 1, 2].map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let processors: Vec<Process> = ports
        .iter()
        .map(|port| {
            hub.processor(&[("COWRIESTREAM_BATCH", "64"), ("COWRIESTREAM_HEALTH_LISTEN", &port.to_string())])
        })
        .collect();
    for port in ports {
        crate::harness::eventually("the processors are ready", || {
            get(port, "/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
        });
    }
    let _loader = hub.loader(&writer.path);
    hub.wait_for_events(writer.events);
    let shares: Vec<u64> = ports.iter().map(|&port| committed(port)).collect();
    println!("events committed by each processor: {shares:?}");
    assert!(shares.iter().all(|&share| share * 5 >= EVENTS), "each commits at least a fifth: {shares:?}");
    hub.assert_verified(&writer.path);
    let dump = hub.dump();
    drop(processors);
    assert!(dump == hub.undisturbed(&writer.path), "the rows differ from those of one processor");
}

fn committed(port: std::net::SocketAddr) -> u64 {
    let metrics = get(port, "/metrics").unwrap();
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("cowriestream_processor_events_total{result=\"new\"} "));
    line.map_or(0, |count| count.trim().parse().unwrap())
}

fn get(port: std::net::SocketAddr, path: &str) -> Option<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(port).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
