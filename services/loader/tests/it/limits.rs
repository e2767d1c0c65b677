//! Few descriptors, a full disk, sparse files, odd names.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::symlink,
    time::{Duration, Instant},
};

use crate::{
    archives::beat,
    site::{Site, Writer, gzip},
};

#[tokio::test]
async fn more_archives_than_descriptors_are_read_in_turns() {
    let mut site = Site::new().await;
    for day in 0..300 {
        fs::write(site.path(&format!("cowrie.json.{day}.gz")), gzip(&[&site.events(5)])).unwrap();
    }
    fs::write(site.path("cowrie.json"), site.events(5)).unwrap();
    // Limits both the hard and the soft limit.
    let mut loader = site.loader_limited("ulimit -n 64", &["--once"]);
    let summary = loader.summary().await;
    assert_eq!((&summary["files"], &summary["events"]), (&301.into(), &1505.into()));
    site.until_all_committed(&loader).await;
}

#[tokio::test]
async fn more_live_logs_than_descriptors_are_followed() {
    let mut site = Site::new().await;
    let mut writers: Vec<_> = (0..200).map(|n| Writer::open(&site.path(&format!("{n}.json")))).collect();
    let pattern = site.path("*.json");
    let loader = site.loader_limited("ulimit -n 64", &["--log", pattern.to_str().unwrap()]);
    for _ in 0..3 {
        for writer in &mut writers {
            writer.write(site.events(2));
        }
        site.until_all_committed(&loader).await;
    }
    let open = fs::read_dir(format!("/proc/{}/fd", loader.id())).unwrap().count();
    assert!(open < 64, "{open} descriptors are open");
    assert!(site.processor.postgres().dead.is_empty());
    assert!(!loader.log().contains("Too many open files"), "{}", loader.log());
}

#[tokio::test]
async fn the_soft_limit_of_descriptors_is_raised() {
    let mut site = Site::new().await;
    Writer::open(&site.path("cowrie.json")).write(site.events(1));
    let loader = site.loader_limited("ulimit -Sn 64; ulimit -Hn 512", &[]);
    site.until_all_committed(&loader).await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", loader.id())).unwrap();
    let files: Vec<_> =
        limits.lines().find(|line| line.starts_with("Max open files")).unwrap().split_whitespace().collect();
    assert_eq!(files[3..5], ["512", "512"]);
}

/// The response of `/readyz`.
fn readiness(port: u16) -> String {
    let mut text = String::new();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn while_the_disk_is_full_the_loader_continues_and_says_so() {
    let mut site = Site::new().await;
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut log = Writer::open(&site.path("cowrie.json"));
    log.write(site.events(1));
    let mut loader = site.loader_with(&["--health-listen", &format!("127.0.0.1:{port}")]);
    site.until_checkpoint(&loader, &[("cowrie.json", log.size())]).await;
    assert!(readiness(port).contains("200 OK"));
    let before = site.checkpoint();
    // Writes to this path fail because the disk is full.
    fs::remove_file(site.path("state/s.json.new")).ok();
    symlink("/dev/full", site.path("state/s.json.new")).unwrap();
    log.write(site.events(10));
    site.until_all_committed(&loader).await;
    let degraded = |heartbeat: &bus::Heartbeat| {
        heartbeat.state == "degraded"
            && heartbeat.trouble.as_ref().is_some_and(|why| why.contains("No space left"))
    };
    let since = Instant::now();
    let mut heartbeat = beat(&site).await;
    while !degraded(&heartbeat) {
        assert!(since.elapsed() < Duration::from_secs(60), "{heartbeat:?}");
        heartbeat = beat(&site).await;
    }
    assert!(readiness(port).contains("missing: checkpoint"));
    assert_eq!(site.checkpoint(), before);
    fs::remove_file(site.path("state/s.json.new")).unwrap();
    site.until_checkpoint(&loader, &[("cowrie.json", log.size())]).await;
    assert!(readiness(port).contains("200 OK"));
    // A stop does not wait for the disk.
    symlink("/dev/full", site.path("state/s.json.new")).unwrap();
    assert!(loader.stop().await.success());
    // `--once` waits for the disk.
    log.write(site.events(10));
    let mut once = site.loader_with(&["--once"]);
    site.until("the loader waits", &once, |_| {
        once.log().contains("could not write the checkpoint; will retry")
    })
    .await;
    site.until_all_committed(&once).await;
    fs::remove_file(site.path("state/s.json.new")).unwrap();
    once.summary().await;
    assert_eq!(site.checkpoint(), [("cowrie.json".to_owned(), log.size())]);
}

#[tokio::test]
async fn a_hole_of_a_hundred_gigabytes_costs_nothing() {
    let mut site = Site::new().await;
    let mut log = Writer::open(&site.path("cowrie.json"));
    log.write(site.events(3));
    log.skip(100 << 30);
    log.write(site.events(3));
    log.skip(100 << 30);
    log.end();
    let mut loader = site.loader_with(&["--once"]);
    let summary = loader.summary().await;
    site.until_all_committed(&loader).await;
    let number = |name: &str| summary[name].as_u64().unwrap();
    assert_eq!((number("bytes"), number("skipped_bytes")), (log.size(), 200 << 30));
    assert_eq!(number("event_bytes") + number("skipped_bytes"), log.size());
    // A file that starts with a hole: its first line identifies it.
    let mut log = Writer::open(&site.path("cowrie.json.1"));
    log.skip(100 << 30);
    log.write(site.events(3));
    let mut loader = site.loader_with(&[]);
    site.until_all_committed(&loader).await;
    site.until("it is in the checkpoint", &loader, |_| {
        site.checkpoint().contains(&("cowrie.json.1".into(), log.size()))
    })
    .await;
    assert!(loader.stop().await.success());
    log.write(site.events(3));
    let loader = site.loader_with(&[]);
    site.until_all_committed(&loader).await;
    assert_eq!(site.processor.postgres().deliveries(), 12, "nothing was delivered twice");
}

#[tokio::test]
async fn names_that_look_like_patterns_or_sensors_are_files() {
    let mut site = Site::new().await;
    for directory in ["open[br", "br[ack]et"] {
        fs::create_dir(site.path(directory)).unwrap();
    }
    for name in ["open[br/cowrie.json", "open[br/cowrie.json.1", "br[ack]et/cowrie.json", "a=b.json"] {
        fs::write(site.path(name), site.events(2)).unwrap();
    }
    let paths = ["open[br/cowrie.json", "br[ack]et/cowrie.json"]
        .map(|name| site.path(name).to_str().unwrap().to_owned());
    let relative = format!("cd {}", site.directory.path().display());
    let mut loader = site
        .loader_limited(&relative, &["--once", "--log", &paths[0], "--log", &paths[1], "--log", "a=b.json"]);
    assert_eq!(loader.summary().await["events"], 8);
    site.until_all_committed(&loader).await;
}

#[tokio::test]
async fn a_text_log_is_reported_once() {
    let mut site = Site::new().await;
    fs::write(site.path("cowrie.json"), site.events(10)).unwrap();
    fs::write(
        site.path("cowrie.json.1"),
        "2026-01-01T00:00:00+0000 [-] Ready to accept SSH connections\n".repeat(500),
    )
    .unwrap();
    let mut loader = site.loader_with(&["--once"]);
    loader.summary().await;
    assert_eq!(loader.log().matches("Is it Cowrie's text log?").count(), 1, "{}", loader.log());
    assert!(
        loader
            .log()
            .lines()
            .any(|line| line.contains("text log") && line.contains("cowrie.json.1") && line.contains("WARN"))
    );
}
