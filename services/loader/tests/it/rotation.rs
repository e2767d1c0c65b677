//! What Cowrie and logrotate do to a log.

use std::fs;

use crate::site::{Site, Writer, gzip};

#[tokio::test]
async fn a_renamed_log_is_read_to_its_end_and_the_new_one_from_its_start() {
    let mut site = Site::new().await;
    let mut old = Writer::open(&site.path("cowrie.json"));
    old.write(site.events(100));
    let loader = site.loader();
    site.until_all_committed(&loader).await;
    old.write(site.events(50));
    fs::rename(site.path("cowrie.json"), site.path("cowrie.json.2026-01-01")).unwrap();
    let mut new = Writer::open(&site.path("cowrie.json"));
    new.write(site.events(100));
    // A writer that kept its descriptor.
    old.write(site.events(10));
    site.until_all_committed(&loader).await;
    site.until_checkpoint(&loader, &[("cowrie.json", new.size()), ("cowrie.json.2026-01-01", old.size())])
        .await;
    assert_eq!(site.processor.postgres().deliveries(), 260);
}

#[tokio::test]
async fn a_log_rotated_twice_while_the_loader_was_down_is_read_whole() {
    let mut site = Site::new().await;
    let mut log = Writer::open(&site.path("cowrie.json"));
    log.write(site.events(100));
    let mut loader = site.loader();
    site.until_checkpoint(&loader, &[("cowrie.json", log.size())]).await;
    assert!(loader.stop().await.success());
    log.write(site.events(100));
    for day in ["2026-01-01", "2026-01-02"] {
        fs::rename(site.path("cowrie.json"), site.path(&format!("cowrie.json.{day}"))).unwrap();
        Writer::open(&site.path("cowrie.json")).write(site.events(100));
    }
    let loader = site.loader();
    site.until_all_committed(&loader).await;
    assert_eq!(site.processor.postgres().deliveries(), 400, "nothing was delivered twice");
}

#[tokio::test]
async fn a_deleted_log_is_read_to_its_end() {
    let mut site = Site::new().await;
    let mut log = Writer::open(&site.path("cowrie.json"));
    log.write(site.events(10));
    let loader = site.loader();
    site.until_all_committed(&loader).await;
    site.processor.postgres().paused = true;
    log.write(site.events(20_000));
    fs::remove_file(site.path("cowrie.json")).unwrap();
    log.write(site.events(10));
    let mut new = Writer::open(&site.path("cowrie.json"));
    new.write(site.events(10));
    site.processor.postgres().paused = false;
    site.until_all_committed(&loader).await;
}

#[tokio::test]
async fn a_truncated_log_is_read_from_its_start() {
    let mut site = Site::new().await;
    let mut log = Writer::open(&site.path("cowrie.json"));
    let loader = site.loader();
    for _ in 0..3 {
        log.write(site.events(100));
        site.until_all_committed(&loader).await;
        log.start_over();
        log.write(site.events(5));
        site.until_all_committed(&loader).await;
    }
    site.until_checkpoint(&loader, &[("cowrie.json", log.size())]).await;
    assert!(site.processor.postgres().dead.is_empty());
}

#[tokio::test]
async fn a_log_truncated_while_the_loader_was_down_is_read_from_its_start() {
    let mut site = Site::new().await;
    let mut log = Writer::open(&site.path("cowrie.json"));
    log.write(site.events(100));
    let mut loader = site.loader();
    site.until_checkpoint(&loader, &[("cowrie.json", log.size())]).await;
    assert!(loader.stop().await.success());
    log.start_over();
    log.write(site.events(200));
    let loader = site.loader();
    site.until_all_committed(&loader).await;
    assert!(site.processor.postgres().dead.is_empty());
}

#[tokio::test]
async fn a_log_truncated_and_grown_beyond_the_old_offset_unseen_is_read_from_its_start() {
    let mut site = Site::new().await;
    let mut log = Writer::open(&site.path("cowrie.json"));
    log.write(site.events(100));
    let loader = site.loader();
    site.until_checkpoint(&loader, &[("cowrie.json", log.size())]).await;
    // The new content is longer than the old one, before the loader can notice the truncation.
    let longer = format!("{{\"eventid\":\"cowrie.session.params\",\"message\":[]}}\n{}", site.events(300));
    site.written.insert("{\"eventid\":\"cowrie.session.params\",\"message\":[]}".into());
    fs::write(site.path("cowrie.json"), longer).unwrap();
    site.until_all_committed(&loader).await;
    assert!(site.processor.postgres().dead.is_empty());
}

#[tokio::test]
async fn after_copytruncate_the_hole_is_skipped_and_the_copy_changes_nothing() {
    let mut site = Site::new().await;
    let mut log = Writer::open(&site.path("cowrie.json"));
    log.write(site.events(200));
    let loader = site.loader();
    site.until_all_committed(&loader).await;
    for _ in 0..2 {
        fs::copy(site.path("cowrie.json"), site.path("cowrie.json.1")).unwrap();
        fs::File::options().write(true).open(site.path("cowrie.json")).unwrap().set_len(0).unwrap();
        // The writer keeps its offset.
        log.write(site.events(50));
        site.until_all_committed(&loader).await;
    }
    let copy = fs::metadata(site.path("cowrie.json.1")).unwrap().len();
    site.until("both are committed to their ends", &loader, |_| {
        let files = site.checkpoint();
        files.contains(&("cowrie.json".into(), log.size())) && files.contains(&("cowrie.json.1".into(), copy))
    })
    .await;
    assert!(site.processor.postgres().dead.is_empty());
}

#[tokio::test]
async fn the_last_line_of_a_rotated_log_counts_without_its_newline() {
    let mut site = Site::new().await;
    let text = site.events(10);
    fs::write(site.path("cowrie.json.1"), text.trim_end()).unwrap();
    fs::write(site.path("cowrie.json.2"), format!("{}{{\"eventid\":\"cowrie.clie", site.events(10))).unwrap();
    Writer::open(&site.path("cowrie.json")).write(format!("{}{{", site.events(10)));
    let loader = site.loader_with(&["--close-after-seconds", "1"]);
    site.until_all_committed(&loader).await;
    site.until("the cut line is a dead letter", &loader, |postgres| {
        postgres.reasons() == [events::Reason::Truncated]
    })
    .await;
}

#[tokio::test]
async fn archives_are_read_through_and_what_a_crash_cut_off_is_kept() {
    let mut site = Site::new().await;
    let (first, second, third) = (site.events(1000), site.events(1000), site.events(1000));
    let (middle, end) = second.split_at(second.len() / 2);
    fs::write(site.path("cowrie.json.2.gz"), gzip(&[&first, middle, end])).unwrap();
    // The container was killed while it compressed the log.
    let cut = gzip(&[&third]);
    fs::write(site.path("cowrie.json.1.gz"), &cut[..cut.len() / 2]).unwrap();
    site.written.retain(|line| !third.contains(line));
    let mut loader = site.loader_with(&["--once"]);
    let summary = loader.summary_of_failure().await;
    let postgres = site.processor.postgres();
    assert!(site.written.iter().all(|line| postgres.events.contains_key(line)));
    assert!(postgres.events.keys().all(|line| site.written.contains(line) || third.contains(line)));
    assert!(postgres.reasons().iter().all(|reason| ["truncated", "damaged"].contains(&reason.as_str())));
    assert_eq!(summary["events"], postgres.events.len());
    // The dead letter about the damaged archive has no bytes of the log.
    assert_eq!(summary["dead_letters"], postgres.dead.len() - 1);
}

#[tokio::test]
async fn events_torn_over_archives_are_put_together_and_read_again_without_a_change() {
    let mut site = Site::new().await;
    let texts: Vec<String> = (0..3).map(|_| site.events(20)).collect();
    // Two events are split: between the archives, and between the second archive and the live log.
    let (first, rest) = texts[0].split_at(texts[0].len() - 40);
    let (second, tail) = texts[1].split_at(texts[1].len() - 60);
    let mut age = 3;
    for (name, bytes) in [
        ("cowrie.json.2.gz", gzip(&[first])),
        ("cowrie.json.1.gz", gzip(&[rest, second])),
        ("cowrie.json", format!("{tail}{}", texts[2]).into_bytes()),
    ] {
        fs::write(site.path(name), bytes).unwrap();
        let file = fs::File::options().write(true).open(site.path(name)).unwrap();
        file.set_modified((boot::now() - std::time::Duration::from_secs(3600 * age)).into()).unwrap();
        age -= 1;
    }
    for _ in 0..2 {
        let mut loader = site.loader_with(&["--once"]);
        loader.summary().await;
        let postgres = site.processor.postgres();
        assert!(site.written.iter().eq(postgres.events.keys()), "other events than were written");
        assert!(postgres.dead.is_empty());
        drop(postgres);
        fs::remove_file(site.path("state/s.json")).unwrap();
    }
}

#[tokio::test]
async fn an_old_log_that_ends_with_dropped_events_is_deleted_without_a_gap() {
    let mut site = Site::new().await;
    let wanted = site.events(20);
    fs::write(site.path("cowrie.json.1"), format!("{wanted}{{\"eventid\":\"cowrie.telnet.option\"}}\n\n"))
        .unwrap();
    Writer::open(&site.path("cowrie.json")).write(site.events(1));
    let drop = ["--drop", "telnet.option"];
    let mut loader = site.loader_with(&drop);
    let live = fs::metadata(site.path("cowrie.json")).unwrap().len();
    site.until_checkpoint(&loader, &[("cowrie.json", live), ("cowrie.json.1", wanted.len() as u64)]).await;
    assert!(loader.stop().await.success());
    let asked = site.processor.postgres().questions;
    let loader = site.loader_with(&drop);
    site.until("the loader has looked", &loader, |postgres| postgres.questions > asked).await;
    fs::remove_file(site.path("cowrie.json.1")).unwrap();
    site.until_checkpoint(&loader, &[("cowrie.json", live)]).await;
    assert!(site.processor.postgres().dead.is_empty());
}

#[tokio::test]
async fn archives_that_are_not_read_are_named_and_the_other_logs_are_read() {
    let mut site = Site::new().await;
    fs::write(site.path("cowrie.json.2"), site.events(10)).unwrap();
    fs::write(site.path("cowrie.json.1.xz"), b"\xfd7zXZ\0and so on").unwrap();
    fs::write(site.path("cowrie.json"), site.events(10)).unwrap();
    let mut loader = site.loader_with(&["--once"]);
    let summary = loader.summary_of_failure().await;
    assert!(
        loader.log().contains("cowrie.json.1.xz: not read: xz archives are not read"),
        "{}",
        loader.log()
    );
    assert_eq!(
        (&summary["events"], &summary["unreadable"], &summary["damaged"]),
        (&20.into(), &1.into(), &0.into())
    );
    site.until_all_committed(&loader).await;
}

#[tokio::test]
async fn a_pattern_finds_files_in_many_directories() {
    let mut site = Site::new().await;
    for day in ["a", "b/c"] {
        fs::create_dir_all(site.path(day)).unwrap();
        fs::write(site.path(day).join("cowrie.json"), site.events(10)).unwrap();
        fs::write(site.path(day).join("cowrie.json.2026-01-01"), site.events(10)).unwrap();
    }
    let pattern = site.path("**/cowrie.json");
    let loader = site.loader_with(&["--log", pattern.to_str().unwrap()]);
    site.until_all_committed(&loader).await;
    fs::create_dir_all(site.path("d")).unwrap();
    fs::write(site.path("d/cowrie.json"), site.events(10)).unwrap();
    site.until_all_committed(&loader).await;
}
