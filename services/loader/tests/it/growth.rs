//! A log that grows, and a loader that is stopped, killed and started again.

use std::{fs, io::Write};

use crate::site::{Site, Writer};

#[tokio::test]
async fn a_line_is_published_when_its_newline_is_written() {
    let mut site = Site::new().await;
    let mut log = Writer::open(&site.path("cowrie.json"));
    let loader = site.loader();
    log.write(site.events(3));
    site.until_all_committed(&loader).await;
    let text = site.events(1);
    let (head, tail) = text.split_at(20);
    log.write(head);
    site.until("the loader read the head", &loader, |_| true).await;
    log.write(tail);
    log.write(site.events(2));
    site.until_all_committed(&loader).await;
    site.until_checkpoint(&loader, &[("cowrie.json", log.size())]).await;
    assert_eq!(site.processor.postgres().deliveries(), 6);
    assert!(site.processor.postgres().dead.is_empty());
}

#[tokio::test]
async fn a_log_that_does_not_exist_yet_is_waited_for() {
    let mut site = Site::new().await;
    let loader = site.loader();
    site.until("the loader waits", &loader, |_| loader.log().contains("waiting for it to appear")).await;
    let mut log = Writer::open(&site.path("cowrie.json"));
    log.write(site.events(2));
    site.until_all_committed(&loader).await;
}

#[tokio::test]
async fn bytes_that_are_no_event_become_dead_letters_and_the_bytes_add_up() {
    let mut site = Site::new().await;
    let mut log = Writer::open(&site.path("cowrie.json"));
    log.write([0; 5000]);
    log.write(site.events(1));
    log.write("\n \t\nno json\n[]\n{\"a\":1}\n\u{fffd}");
    log.write(b"\xff\n");
    log.write(vec![b'x'; 1_100_000]);
    log.write("\n");
    log.write(site.events(1));
    log.write([0; 300]);
    let mut loader = site.loader_with(&["--once"]);
    let summary = loader.summary().await;
    site.until_all_committed(&loader).await;
    let mut reasons: Vec<_> =
        site.processor.postgres().reasons().iter().map(|reason| reason.as_str()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["no_eventid", "not_an_object", "not_json", "not_utf8", "too_long"]);
    let number = |name: &str| summary[name].as_u64().unwrap();
    assert_eq!(number("bytes"), log.size());
    assert_eq!(number("event_bytes") + number("dead_bytes") + number("skipped_bytes"), log.size());
    assert_eq!((number("events"), number("dead_letters"), number("skipped_bytes")), (2, 5, 5000 + 4 + 300));
    // Offsets are exact: one range from the start to the last newline.
    let committed: Vec<_> =
        site.processor.postgres().committed.values().map(events::RangeSet::to_vec).collect();
    assert_eq!(committed, [[(0, log.size() - 300)]]);
}

#[tokio::test]
async fn a_restarted_loader_continues_where_it_was() {
    let mut site = Site::new().await;
    fs::write(site.path("cowrie.json.2026-01-01"), site.events(500)).unwrap();
    let mut log = Writer::open(&site.path("cowrie.json"));
    log.write(site.events(500));
    let mut loader = site.loader();
    site.until_all_committed(&loader).await;
    let old = fs::metadata(site.path("cowrie.json.2026-01-01")).unwrap().len();
    site.until_checkpoint(&loader, &[("cowrie.json", log.size()), ("cowrie.json.2026-01-01", old)]).await;
    assert!(loader.stop().await.success());
    log.write(site.events(10));
    let loader = site.loader();
    site.until_all_committed(&loader).await;
    assert_eq!(site.processor.postgres().deliveries(), 1010, "nothing was delivered twice");
}

#[tokio::test]
async fn a_killed_loader_loses_nothing() {
    let mut site = Site::new().await;
    let mut log = Writer::open(&site.path("cowrie.json"));
    for round in 0..8 {
        log.write(site.events(3000));
        let mut loader = site.loader();
        let target = round * 3000 + 500;
        site.until("some are committed", &loader, |postgres| postgres.events.len() > target).await;
        loader.kill();
    }
    let loader = site.loader();
    site.until_all_committed(&loader).await;
    site.until_checkpoint(&loader, &[("cowrie.json", log.size())]).await;
}

#[tokio::test]
async fn a_damaged_checkpoint_costs_nothing_but_work() {
    let mut site = Site::new().await;
    let mut log = Writer::open(&site.path("cowrie.json"));
    log.write(site.events(100));
    let mut loader = site.loader();
    site.until_checkpoint(&loader, &[("cowrie.json", log.size())]).await;
    assert!(loader.stop().await.success());
    fs::write(site.path("state/s.json"), "{\"version\":1,").unwrap();
    log.write(site.events(1));
    let loader = site.loader();
    site.until_all_committed(&loader).await;
    site.until_checkpoint(&loader, &[("cowrie.json", log.size())]).await;
}

#[tokio::test]
async fn memory_is_bounded_whatever_the_log_holds() {
    let mut site = Site::new().await;
    let mut log = Writer::open(&site.path("cowrie.json"));
    for _ in 0..150 {
        log.write(vec![0; 1 << 20]);
    }
    log.write(site.events(1));
    for _ in 0..50 {
        log.write(vec![b'x'; 1 << 20]);
    }
    log.write("\n");
    log.write(site.events(50_000));
    // A gigabyte of NUL bytes, and an event.
    let mut archive = flate2::write::GzEncoder::new(
        fs::File::create(site.path("cowrie.json.1.gz")).unwrap(),
        flate2::Compression::fast(),
    );
    for _ in 0..1024 {
        archive.write_all(&vec![0; 1 << 20]).unwrap();
    }
    archive.write_all(site.events(1).as_bytes()).unwrap();
    archive.finish().unwrap();
    let loader = site.loader();
    site.until_all_committed(&loader).await;
    let whole = 1_u64 << 30;
    site.until("both are committed to their ends", &loader, |_| {
        let files = site.checkpoint();
        files.contains(&("cowrie.json".into(), log.size()))
            && files.iter().any(|(name, at)| name == "cowrie.json.1.gz" && *at > whole)
    })
    .await;
    let peak = loader.peak_memory();
    assert!(peak < 64 << 20, "{peak} bytes");
}
