//! Many clients follow jobs as server-sent events.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    thread::{self, JoinHandle},
    time::Instant,
};

use serde_json::Value;

use crate::{
    harness::{Hub, KEY, eventually, psql},
    office::Office,
};

const JOBS: usize = 25;
const CLIENTS: usize = 50;
/// Queries of the feed during which the others are counted.
const READS: u64 = 6;

/// A request of HTTP/1.1; its answer is read from the stream.
fn send(address: &str, method: &str, path: &str) -> TcpStream {
    let address = address.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nX-API-Key: {KEY}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    )
    .unwrap();
    stream
}

/// Follows a job from its first state to the end of the stream, in a thread; returns the states.
fn follow(rest: &str, job: &str) -> (JoinHandle<Vec<String>>, std::sync::mpsc::Receiver<()>) {
    let stream = send(rest, "GET", &format!("/api/v1/jobs/{job}/events"));
    let (tell, begun) = std::sync::mpsc::channel();
    let following = thread::spawn(move || {
        let mut states = Vec::new();
        for line in BufReader::new(stream).lines() {
            let line = line.unwrap();
            let Some(data) = line.strip_prefix("data: ") else { continue };
            let status: Value = serde_json::from_str(data).unwrap();
            states.push(status["state"].as_str().unwrap_or(data).to_owned());
            tell.send(()).ok();
        }
        states
    });
    (following, begun)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_that_follow_jobs_cost_no_more_queries_than_one() {
    let mut hub = Hub::start().await;
    let health = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let settings = [("COWRIESTREAM_HEALTH_LISTEN", health.as_str())];
    let (_coordinator, office) = Office::open(&hub, "coordinator.err", &settings);
    let rest = office.rest.clone();
    hub.psql(&format!(
        "insert into jobs (job_id, job_type, queue, parameters, priority, timeout_seconds, max_attempts, request_hash)
        select gen_random_uuid(), 'diagnostic', 'nobody', '{{}}', 5, 60, 3, '' from generate_series(1, {JOBS})"
    ));
    let ids = hub.psql("select job_id from jobs order by job_id");
    let jobs: Vec<&str> = ids.split_whitespace().collect();

    let reads = || {
        let mut metrics = String::new();
        send(&health, "GET", "/metrics").read_to_string(&mut metrics).unwrap();
        let name = "cowriestream_coordinator_watch_reads_total ";
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0, |count| count.trim().parse::<u64>().unwrap())
    };
    let transactions =
        || hub.count("select xact_commit from pg_stat_database where datname = current_database()");
    let per_read = || {
        let (begin, before) = (reads(), transactions());
        eventually("the feed reads", || reads() >= begin + READS);
        (transactions() - before) as f64 / (reads() - begin) as f64
    };
    let mut clients = vec![follow(&rest, jobs[0])];
    clients[0].1.recv().unwrap();
    let one = per_read();
    clients.extend((1..CLIENTS).map(|n| follow(&rest, jobs[n % JOBS])));
    clients[1..].iter().for_each(|(_, begun)| begun.recv().unwrap());
    // Postgres counts the first query of each client with a delay.
    let mut many = f64::MAX;
    eventually("all clients together cost as much as one", || {
        many = per_read();
        many < one + 5.0
    });
    println!("transactions per second of following: {one:.1} with one client, {many:.1} with {CLIENTS}");

    // Some jobs end while the broker announces it, the others while it is away.
    let (announced, unannounced) = jobs.split_at(JOBS / 2);
    let since = Instant::now();
    for job in announced {
        let mut answer = String::new();
        send(&rest, "POST", &format!("/api/v1/jobs/{job}/cancel")).read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let ended = |clients: &[(JoinHandle<Vec<String>>, _)], jobs: std::ops::Range<usize>| {
        clients
            .iter()
            .enumerate()
            .filter(|(n, _)| jobs.contains(&(n % JOBS)))
            .all(|(_, (it, _))| it.is_finished())
    };
    eventually("their clients know", || ended(&clients, 0..announced.len()));
    println!("{} jobs cancelled, all clients know, within {:?}", announced.len(), since.elapsed());
    let (url, list) = (hub.database_url.clone(), unannounced.join("','"));
    hub.rob_nats(|_| {
        psql(
            &url,
            &format!("update jobs set state = 'cancelled', finished_at = now() where job_id in ('{list}')"),
        );
        eventually("the others know without the broker", || ended(&clients, 0..JOBS));
    })
    .await;
    for (client, _) in clients {
        assert_eq!(client.join().unwrap(), ["queued", "cancelled"]);
    }
}
