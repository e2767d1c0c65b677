//! Lost receipts, a restored database, vanished messages: the loader publishes again only on evidence of
//! loss.

use std::fs;

use events::Reason;

use crate::site::{Site, Writer};

#[tokio::test]
async fn a_lost_receipt_is_asked_for_and_nothing_is_published_again() {
    let mut site = Site::new().await;
    let mut log = Writer::open(&site.path("cowrie.json"));
    site.processor.postgres().mute = true;
    log.write(site.events(100));
    let loader = site.loader();
    site.until_checkpoint(&loader, &[("cowrie.json", log.size())]).await;
    let postgres = site.processor.postgres();
    assert!(postgres.questions > 0);
    assert_eq!(postgres.deliveries(), 100);
}

#[tokio::test]
async fn a_slow_processor_is_waited_for_and_nothing_is_published_again() {
    let mut site = Site::new().await;
    let mut log = Writer::open(&site.path("cowrie.json"));
    site.processor.postgres().paused = true;
    log.write(site.events(100));
    let loader = site.loader();
    site.until("it was asked twice", &loader, |postgres| postgres.questions >= 3).await;
    assert!(
        site.checkpoint().iter().all(|&(_, position)| position == 0),
        "the checkpoint moves over committed bytes only"
    );
    site.processor.postgres().paused = false;
    site.until_checkpoint(&loader, &[("cowrie.json", log.size())]).await;
    assert_eq!(site.processor.postgres().deliveries(), 100);
}

#[tokio::test]
async fn what_the_processor_passed_without_committing_is_published_again() {
    let mut site = Site::new().await;
    let mut log = Writer::open(&site.path("cowrie.json"));
    log.write(site.events(50));
    let loader = site.loader();
    site.until_all_committed(&loader).await;
    site.processor.postgres().forgetful = true;
    log.write(site.events(50));
    site.until("they were passed", &loader, |postgres| {
        postgres.questions > 0 || loader.log().contains("publishing them again")
    })
    .await;
    site.processor.postgres().forgetful = false;
    site.until_all_committed(&loader).await;
    site.until_checkpoint(&loader, &[("cowrie.json", log.size())]).await;
}

#[tokio::test]
async fn a_restored_database_is_believed() {
    let mut site = Site::new().await;
    let mut log = Writer::open(&site.path("cowrie.json"));
    log.write(site.events(1000));
    let mut loader = site.loader();
    site.until_checkpoint(&loader, &[("cowrie.json", log.size())]).await;
    // Restored while the loader runs.
    forget_half(&site);
    log.write(site.events(1));
    site.until_all_committed(&loader).await;
    site.until_checkpoint(&loader, &[("cowrie.json", log.size())]).await;
    // Restored while the loader is down.
    assert!(loader.stop().await.success());
    forget_half(&site);
    let loader = site.loader();
    site.until_all_committed(&loader).await;
    site.until_checkpoint(&loader, &[("cowrie.json", log.size())]).await;
}

/// Restores the database from an older backup: half of the events are lost.
fn forget_half(site: &Site) {
    let mut postgres = site.processor.postgres();
    let half = postgres.events.len() / 2;
    let kept: std::collections::BTreeSet<_> = site.written.iter().take(half).cloned().collect();
    postgres.events.retain(|line, _| kept.contains(line));
    // Only the first bytes of the committed ranges are left. Lines are sorted by their text, so the lost
    // events and ranges differ.
    postgres.committed.values_mut().for_each(|ranges| {
        *ranges = ranges.to_vec().iter().map(|&(start, end)| (start, end.min(104))).collect()
    });
}

#[tokio::test]
async fn bytes_that_vanished_everywhere_are_reported_as_a_gap() {
    let mut site = Site::new().await;
    let mut log = Writer::open(&site.path("cowrie.json"));
    log.write(site.events(50));
    let loader = site.loader();
    site.until_all_committed(&loader).await;
    let (before, asked) = (log.size(), site.processor.postgres().questions);
    site.processor.postgres().forgetful = true;
    site.processor.postgres().deaf = true;
    log.write(site.events(50));
    let lost = log.size() - before;
    site.until("the processor took and forgot them", &loader, |postgres| postgres.questions > asked).await;
    let mut loader = loader;
    loader.kill();
    // Another log is there. The writer has ended, so no descriptor leads to the old content.
    Writer::open(&site.path("cowrie.json.1")).write(site.events(1));
    fs::remove_file(site.path("cowrie.json")).unwrap();
    drop(log);
    let loader = site.loader();
    {
        let mut postgres = site.processor.postgres();
        (postgres.forgetful, postgres.deaf) = (false, false);
    }
    site.until("the gap is a dead letter", &loader, |postgres| postgres.reasons() == [Reason::Gap]).await;
    {
        let postgres = site.processor.postgres();
        let gap = postgres.dead.values().next().unwrap();
        assert_eq!(gap.length, lost);
        let announced = &postgres.files[&gap.source.files[0].0].path;
        assert!(
            announced.ends_with("/cowrie.json"),
            "the gap is announced as the file that is gone: {announced}"
        );
    }
    site.until("the gap is receipted, and the old file forgotten", &loader, |_| site.checkpoint().len() == 1)
        .await;
}

#[tokio::test]
async fn a_copy_that_the_duplicate_window_dropped_is_committed_anyway() {
    let mut site = Site::new().await;
    let text = site.events(2000);
    for name in ["cowrie.json", "cowrie.json.1", "cowrie.json.2"] {
        fs::write(site.path(name), &text).unwrap();
    }
    let mut loader = site.loader_with(&["--once"]);
    loader.summary().await;
    let size = text.len() as u64;
    assert_eq!(
        site.checkpoint(),
        [("cowrie.json".into(), size), ("cowrie.json.1".into(), size), ("cowrie.json.2".into(), size)]
    );
    site.until_all_committed(&loader).await;
}
