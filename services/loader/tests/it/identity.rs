//! Files that leave the pattern, are replaced as a whole, or continue after they seemed to be finished.

use std::{fs, path::Path, time::Duration};

use crate::site::{Loader, Site, Writer, gzip};

/// Waits longer than a name may be missing: until a deleted archive has left the checkpoint.
async fn until_names_count(site: &Site, loader: &Loader, archive: &str) {
    fs::remove_file(site.path(archive)).unwrap();
    let name = Path::new(archive).file_name().unwrap().to_str().unwrap();
    site.until("the deleted archive is forgotten", loader, |_| {
        site.checkpoint().iter().all(|(known, _)| known != name)
    })
    .await;
}

fn put_archive(site: &mut Site, name: &str) {
    fs::write(site.path(name), gzip(&[&site.events(1)])).unwrap();
    let old = boot::now() - Duration::from_secs(60);
    fs::File::options().write(true).open(site.path(name)).unwrap().set_modified(old.into()).unwrap();
}

#[tokio::test]
async fn a_log_that_leaves_the_pattern_is_read_as_long_as_its_writer_has_it() {
    let mut site = Site::new().await;
    for name in ["olddir/old", "dateext", "symlink", "deleted"] {
        fs::create_dir_all(site.path(name)).unwrap();
    }
    fs::write(site.path("symlink/first"), "").unwrap();
    std::os::unix::fs::symlink(site.path("symlink/first"), site.path("symlink/cowrie.json")).unwrap();
    let mut writers = ["olddir", "dateext", "symlink", "deleted"]
        .map(|name| Writer::open(&site.path(name).join("cowrie.json")));
    writers.iter_mut().for_each(|log| log.write(site.events(10)));
    put_archive(&mut site, "symlink/cowrie.json.1.gz");
    put_archive(&mut site, "symlink/cowrie.json.2.gz");
    let pattern = site.path("*/cowrie.json");
    let mut loader = site.loader_with(&["--log", pattern.to_str().unwrap()]);
    site.until_all_committed(&loader).await;

    fs::rename(site.path("olddir/cowrie.json"), site.path("olddir/old/cowrie.json.1")).unwrap();
    fs::rename(site.path("dateext/cowrie.json"), site.path("dateext/cowrie-20260101.json")).unwrap();
    fs::write(site.path("symlink/second"), site.events(1)).unwrap();
    std::os::unix::fs::symlink(site.path("symlink/second"), site.path("symlink/link")).unwrap();
    fs::rename(site.path("symlink/link"), site.path("symlink/cowrie.json")).unwrap();
    fs::remove_file(site.path("deleted/cowrie.json")).unwrap();
    until_names_count(&site, &loader, "symlink/cowrie.json.1.gz").await;
    writers.iter_mut().for_each(|log| log.write(site.events(10)));
    site.until_all_committed(&loader).await;

    // The directories are moved once more. Then the loader is killed, and they are moved while it is down.
    fs::create_dir_all(site.path("kept/below")).unwrap();
    fs::rename(site.path("olddir/old/cowrie.json.1"), site.path("kept/below/olddir")).unwrap();
    until_names_count(&site, &loader, "symlink/cowrie.json.2.gz").await;
    writers.iter_mut().for_each(|log| log.write(site.events(10)));
    site.until_all_committed(&loader).await;
    let names = |site: &Site| {
        site.processor.postgres().files.values().map(|file| file.path.clone()).collect::<Vec<_>>()
    };
    assert!(names(&site).iter().any(|path| path.ends_with("kept/below/olddir")), "{:?}", names(&site));
    loader.kill();
    fs::rename(site.path("dateext/cowrie-20260101.json"), site.path("dateext/old-log")).unwrap();
    fs::rename(site.path("kept/below/olddir"), site.path("kept/olddir")).unwrap();
    writers.iter_mut().for_each(|log| log.write(site.events(10)));
    let deliveries = site.processor.postgres().deliveries();
    let loader = site.loader_with(&["--log", pattern.to_str().unwrap()]);
    site.until_all_committed(&loader).await;
    assert!(site.processor.postgres().dead.is_empty());
    // Lines that the checkpoint did not have yet may be published again.
    assert!(
        site.processor.postgres().deliveries() <= deliveries + 80,
        "files were read again from their starts"
    );
}

#[tokio::test]
async fn a_partial_line_that_is_continued_late_becomes_one_event_and_its_dead_letter_is_resolved() {
    let mut site = Site::new().await;
    Writer::open(&site.path("cowrie.json")).write(site.events(1));
    // Half lines: a first line, a later one, and a later one while the loader is down.
    let mut parts = Vec::new();
    for (name, lines) in [("cowrie.json.1", 0), ("cowrie.json.2", 5), ("cowrie.json.3", 5)] {
        let (before, text, after) = (site.events(lines), site.events(1), site.events(3));
        let mut log = Writer::open(&site.path(name));
        log.write(format!("{before}{}", &text[..60]));
        parts.push((log, text[60..80].to_owned(), format!("{}{after}", &text[80..])));
    }
    let dead_letters = |site: &Site| site.processor.postgres().dead.len();
    let mut loader = site.loader_with(&["--close-after-seconds", "1"]);
    site.until("the partial lines are dead letters", &loader, |postgres| postgres.dead.len() == 3).await;
    for (log, middle, _) in &mut parts[..2] {
        log.write(middle);
    }
    site.until("the longer partial lines are, too", &loader, |postgres| postgres.dead.len() == 5).await;
    assert!(site.processor.postgres().resolved.len() == 2, "each replaced the shorter one");
    for (log, _, rest) in &mut parts[..2] {
        log.write(rest);
    }
    site.until("they are resolved", &loader, |postgres| postgres.resolved.len() == 4).await;
    site.until("the third partial line is committed", &loader, |_| {
        site.checkpoint().iter().any(|(name, at)| name.ends_with(".3") && *at == parts[2].0.size())
    })
    .await;
    assert!(loader.stop().await.success());
    let (log, middle, rest) = &mut parts[2];
    log.write(format!("{middle}{rest}"));
    let deliveries = site.processor.postgres().deliveries();
    let loader = site.loader_with(&["--close-after-seconds", "1"]);
    site.until_all_committed(&loader).await;
    assert_eq!(site.processor.postgres().deliveries(), deliveries + 4, "nothing was delivered twice");
    assert_eq!(dead_letters(&site), 5);
    assert_eq!(site.processor.postgres().resolved.len(), 5, "no dead letter is left");
    let sizes: Vec<_> = parts.iter().map(|(log, ..)| (0, log.size())).collect();
    let ranges: Vec<_> =
        site.processor.postgres().committed.values().flat_map(events::RangeSet::to_vec).collect();
    assert!(sizes.iter().all(|size| ranges.contains(size)), "{ranges:?}");
}

#[tokio::test]
async fn a_log_that_is_replaced_whole_again_and_again_has_no_gap() {
    let mut site = Site::new().await;
    // A reported loss: a partial line of another live log is truncated away.
    let mut truncated = Writer::open(&site.path("other.json"));
    truncated.write(format!("{}half of a line", site.events(1)));
    let mut content = site.events(1);
    fs::write(site.path("cowrie.json"), &content).unwrap();
    let (log, other) = (site.path("cowrie.json"), site.path("other.json"));
    let loader = site.loader_with(&[
        "--close-after-seconds",
        "1",
        "--log",
        log.to_str().unwrap(),
        other.to_str().unwrap(),
    ]);
    site.until_all_committed(&loader).await;
    for _ in 0..400 {
        content.push_str(&site.events(1));
        // The copy that rsync makes while the log is being written.
        fs::write(site.path(".cowrie.json.rsync"), &content[..content.len() - 30]).unwrap();
        fs::rename(site.path(".cowrie.json.rsync"), site.path("cowrie.json")).unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    fs::write(site.path("cowrie.json"), &content).unwrap();
    site.until_all_committed(&loader).await;
    truncated.start_over();
    truncated.write(site.events(1));
    site.until("the loss is reported", &loader, |postgres| postgres.reasons().contains(&events::Reason::Gap))
        .await;
    assert_eq!(site.processor.postgres().reasons(), [events::Reason::Gap], "{}", loader.log());
}

#[tokio::test]
async fn a_partial_line_that_was_truncated_away_is_not_joined_to_another() {
    let mut site = Site::new().await;
    let mut log = Writer::open(&site.path("cowrie.json"));
    let other = site.events(1);
    log.write(&other[..other.len() - 20]);
    site.written.clear();
    // A live log is read before a rotated one.
    fs::write(site.path("cowrie.json.1"), site.events(1)).unwrap();
    let loader = site.loader();
    site.until_all_committed(&loader).await;
    let text = site.events(20);
    fs::write(site.path("cowrie.json"), text.replacen("\"eventid\"", "\"n\":1,\"eventid\"", 1)).unwrap();
    let first = text.lines().next().unwrap();
    site.written.remove(first);
    site.written.insert(first.replacen("\"eventid\"", "\"n\":1,\"eventid\"", 1));
    site.until_all_committed(&loader).await;
}
