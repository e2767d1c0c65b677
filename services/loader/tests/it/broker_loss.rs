//! The broker stops, starts again, and has lost messages.

use crate::{
    broker::topology,
    site::{Site, Writer},
};

#[tokio::test]
async fn while_the_broker_is_away_the_log_is_the_buffer() {
    let mut site = Site::new().await;
    let mut log = Writer::open(&site.path("cowrie.json"));
    log.write(site.events(100));
    let loader = site.loader();
    site.until_all_committed(&loader).await;
    for _ in 0..3 {
        site.broker.kill();
        log.write(site.events(5000));
        site.broker.restart();
        site.until_all_committed(&loader).await;
    }
    site.until_checkpoint(&loader, &[("cowrie.json", log.size())]).await;
}

#[tokio::test]
async fn a_broker_killed_under_load_costs_nothing() {
    let mut site = Site::new().await;
    let mut log = Writer::open(&site.path("cowrie.json"));
    // Few messages may be in flight, so the loader waits for room when the broker stops.
    let loader = site.loader_with(&["--in-flight", "8"]);
    for round in 0..4 {
        log.write(site.events(20_000));
        let target = round * 20_000 + 2000;
        site.until("some are committed", &loader, |postgres| postgres.events.len() > target).await;
        site.broker.kill();
        site.broker.restart();
        site.until_all_committed(&loader).await;
    }
    site.until_checkpoint(&loader, &[("cowrie.json", log.size())]).await;
    // No message claims bytes of another.
    let sources: Vec<_> = site.processor.postgres().sources.clone();
    let longest = sources
        .iter()
        .flat_map(|source| &source.files)
        .flat_map(|(_, ranges)| ranges)
        .map(|(start, end)| end - start)
        .max();
    assert!(longest < Some(200), "{longest:?}");
}

#[tokio::test]
async fn a_wiped_broker_gets_again_what_is_not_committed() {
    let mut site = Site::new().await;
    let mut log = Writer::open(&site.path("cowrie.json"));
    log.write(site.events(100));
    let loader = site.loader();
    site.until_all_committed(&loader).await;
    site.processor.postgres().paused = true;
    log.write(site.events(5000));
    acknowledged(&site, 5100).await;
    site.broker.kill();
    site.broker.forget();
    site.broker.restart();
    site.processor.postgres().paused = false;
    site.until_all_committed(&loader).await;
    site.until_checkpoint(&loader, &[("cowrie.json", log.size())]).await;
}

#[tokio::test]
async fn a_broker_restored_from_a_copy_gets_again_what_it_lost() {
    let mut site = Site::new().await;
    let mut log = Writer::open(&site.path("cowrie.json"));
    log.write(site.events(1000));
    let loader = site.loader();
    site.until_all_committed(&loader).await;
    site.broker.kill();
    let copy = site.broker.copy();
    site.processor.postgres().paused = true;
    site.broker.restart();
    log.write(site.events(5000));
    acknowledged(&site, 6000).await;
    site.broker.kill();
    site.broker.restore(&copy);
    site.broker.restart();
    // Lines written now get sequences that were assigned before.
    log.write(site.events(10));
    site.processor.postgres().paused = false;
    site.until_all_committed(&loader).await;
    site.until_checkpoint(&loader, &[("cowrie.json", log.size())]).await;
}

#[tokio::test]
async fn a_missing_stream_is_waited_for() {
    let mut site = Site::new().await;
    site.broker.kill();
    site.broker.forget();
    site.broker.restart();
    site.processor.postgres().paused = true;
    let mut log = Writer::open(&site.path("cowrie.json"));
    log.write(site.events(100));
    let loader = site.loader();
    site.processor.postgres().paused = false;
    site.until_all_committed(&loader).await;
}

/// Waits until the broker has stored this many events.
async fn acknowledged(site: &Site, events: u64) {
    site.bus.provision(&topology()).await.ok();
    loop {
        if let Ok(Some(facts)) = site.bus.events_stream().await
            && facts.last_seq >= events
        {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
