//! What a batch leaves in Postgres and in the streams.

use bus::topology::SESSIONS;
use events::{DeadLetter, Reason, Source};

use crate::site::{Site, length, log, session};

const COUNTS: &str = "select (select count(*) from events), (select count(*) from commands), \
    (select event_count from sessions), (select count(*) from outbox)";

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_delivered_twice_is_stored_once() {
    let site = Site::start().await;
    let processor = site.processor().await;
    let (file, lines) = (log(1), session("0123456789ab"));
    site.publish(&file, &lines, 0).await;
    site.until_acknowledged().await;
    assert_eq!(site.psql(COUNTS), "3|1|3|1");
    site.publish(&file, &lines, 1).await;
    // The same lines from another file are the same events.
    site.publish(&log(2), &lines, 2).await;
    site.until_acknowledged().await;
    assert_eq!(site.psql(COUNTS), "3|1|3|1");
    assert_eq!(
        site.psql("select distinct committed from loader_files"),
        format!("{{[0,{})}}", length(&lines)),
        "both files have all their receipts"
    );
    processor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_relay_publishes_the_summary_of_a_session_once() {
    const PUBLISHED: &str = "select count(*) from outbox where published_at is not null";
    let site = Site::start().await;
    let processor = site.processor().await;
    let (file, lines) = (log(1), session("0123456789ab"));
    site.publish(&file, &lines, 0).await;
    site.until(PUBLISHED, "1").await;
    assert_eq!(site.messages(SESSIONS).await, 1);
    site.publish(&file, &lines, 1).await;
    site.until_acknowledged().await;
    // The relay publishes in order: after the summary of another session, no further one of the first can
    // follow.
    site.publish(&log(2), &session("ba9876543210"), 0).await;
    site.until(PUBLISHED, "2").await;
    assert_eq!(site.messages(SESSIONS).await, 2);
    processor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_keeps_its_bytes() {
    let site = Site::start().await;
    let processor = site.processor().await;
    let (file, body) = (log(1), b"{\"eventid\": \0\xff\xfe 'x\\u0000\" \r\n\x1b[31m");
    let source = Source::one(file.file_id, 10, 10 + body.len() as u64);
    let dead = DeadLetter::of_line(site.sensor.clone(), Reason::NotJson, "a test".into(), body, source);
    site.publish_dead(&file, &dead).await;
    site.until_acknowledged().await;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(
        site.psql("select encode(body, 'hex'), length, encode(hash, 'hex'), source_offset, source_path from dead_letters"),
        format!("{}|{}|{}|10|{}", hex(body), body.len(), hex(&dead.hash), file.path)
    );
    assert_eq!(site.psql("select committed from loader_files"), format!("{{[10,{})}}", 10 + body.len()));
    processor.stop().await;
}
