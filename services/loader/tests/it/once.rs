//! `--once`, and the arguments that the loader refuses.

use std::fs;

use crate::site::{Site, Writer};

#[tokio::test]
async fn once_ends_when_everything_is_committed_and_again_does_no_work() {
    let mut site = Site::new().await;
    fs::write(site.path("cowrie.json.1"), site.events(5000)).unwrap();
    let mut log = Writer::open(&site.path("cowrie.json"));
    log.write(site.events(5000));
    let mut loader = site.loader_with(&["--once"]);
    let summary = loader.summary().await;
    assert_eq!(
        (summary["files"].as_u64(), summary["events"].as_u64(), summary["dead_letters"].as_u64()),
        (Some(2), Some(10_000), Some(0))
    );
    site.until_all_committed(&loader).await;
    let again = site.loader_with(&["--once"]).summary().await;
    assert_eq!((again["bytes"].as_u64(), again["events"].as_u64()), (Some(0), Some(0)));
    assert_eq!(site.processor.postgres().deliveries(), 10_000);
}

#[tokio::test]
async fn once_takes_a_last_line_that_does_not_grow() {
    let mut site = Site::new().await;
    let text = site.events(10);
    fs::write(site.path("cowrie.json"), text.trim_end()).unwrap();
    let mut loader = site.loader_with(&["--once"]);
    assert_eq!(loader.summary().await["events"], 10);
    site.until_all_committed(&loader).await;
}

#[tokio::test]
async fn once_ends_with_empty_and_blank_files() {
    let site = Site::new().await;
    fs::write(site.path("cowrie.json"), "").unwrap();
    fs::write(site.path("cowrie.json.1"), "\n\n\0\0").unwrap();
    let summary = site.loader_with(&["--once"]).summary().await;
    assert_eq!((summary["bytes"].as_u64(), summary["skipped_bytes"].as_u64()), (Some(4), Some(4)));
}

#[tokio::test]
async fn what_cannot_work_is_refused_with_its_name() {
    let site = Site::new().await;
    let directory = site.directory.path().to_str().unwrap();
    for (arguments, named) in [
        (vec!["--once"], "cowrie.json: no such file"),
        (vec!["--once", "--log", directory], "is a directory"),
        (vec!["--log", directory], "is a directory"),
    ] {
        let mut loader = site.loader_with(&arguments);
        assert!(!loader.end().await.success());
        assert!(loader.log().contains(named), "{}", loader.log());
    }
}

#[tokio::test]
async fn one_loader_holds_a_checkpoint() {
    let mut site = Site::new().await;
    Writer::open(&site.path("cowrie.json")).write(site.events(1));
    let first = site.loader();
    site.until_all_committed(&first).await;
    let mut second = site.loader();
    assert!(!second.end().await.success());
    assert!(second.log().contains("another loader of sensor s"), "{}", second.log());
}
