use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use jobs::{State, Status};
use mirror::{Change, Changes, Entry, Error, Reader, Writer};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::site::Site;

fn status(job: u128, state: State, version: i64) -> Status {
    let status = json!({
        "job_id": Uuid::from_u128(job), "state": state, "progress_percent": 12.5, "current_step": "read \"5\"",
        "sessions_processed": 5, "total_sessions": null, "worker": "7", "attempt": 1, "uncounted_attempts": 0,
        "attempts_left": 2, "error": {"type": "Timeout", "message": "too slow"},
        "updated_at": "2026-01-02T03:04:05.678901Z", "version": version,
    });
    serde_json::from_value(status).unwrap()
}

fn state_change<'a>(status: &'a Status, queue: &'a str) -> Entry<'a> {
    let created_at = DateTime::<Utc>::from_timestamp(1_760_000_000 + status.version, 0).unwrap();
    Entry { status, result: None, change: Change::State { queue, created_at } }
}

fn progress(status: &Status) -> Entry<'_> {
    Entry { status, result: None, change: Change::Progress }
}

#[tokio::test]
async fn what_is_written_is_read_and_an_older_status_changes_nothing() {
    let site = Site::start().await;
    let (writer, reader) = (Writer::new(&site.url, 7).unwrap(), Reader::new(&site.url).unwrap());
    let [one, other] = [1, 2].map(Uuid::from_u128);
    assert_eq!(reader.statuses(&[one, other]).await, Ok(vec![None, None]));
    assert_eq!(reader.queue("reports", 10).await, Ok(None), "there is no mirror yet");

    let (queued, started) = (status(1, State::Queued, 1), status(1, State::InProgress, 3));
    let waiting = status(2, State::Queued, 2);
    let entries = [&queued, &waiting].map(|status| state_change(status, "reports"));
    let written = writer.write(&entries).await.unwrap();
    assert_eq!((written.new, written.refused, written.replaced), (2, 0, vec![]));
    let written = writer.write(&[progress(&started), state_change(&queued, "reports")]).await.unwrap();
    assert_eq!(written.new, 1, "the older status is not written");
    assert_eq!(reader.status(one).await, Ok(Some(started.clone())));
    assert_eq!(reader.statuses(&[other, one]).await, Ok(vec![Some(waiting), Some(started)]));

    assert!(!writer.is_whole().await.unwrap());
    writer.mark_whole(DateTime::UNIX_EPOCH).await.unwrap();
    assert!(writer.is_whole().await.unwrap());
    assert_eq!(reader.queue("reports", 10).await, Ok(Some(vec![one, other])));
    assert_eq!(reader.queue("reports", 1).await, Ok(Some(vec![one])));
    assert_eq!(reader.queue_lengths(&["reports", "none"]).await, Ok(vec![Some(2), Some(0)]));

    // An ended job leaves its queue, Celery's clients see its result, and it expires.
    let (done, result) = (status(1, State::Completed, 4), json!({"lines": 3}));
    let entry = Entry { result: Some(&result), ..state_change(&done, "reports") };
    assert_eq!(writer.write(&[entry]).await.unwrap().new, 1);
    assert_eq!(reader.queue("reports", 10).await, Ok(Some(vec![other])));
    let celery: String = site.command(&["GET", &format!("celery-task-meta-{one}")]).await;
    let celery: Value = serde_json::from_str(&celery).unwrap();
    assert_eq!((&celery["status"], &celery["result"]), (&json!("SUCCESS"), &result));
    let ttl: i64 = site.command(&["TTL", &format!("cowrie:status:{one}")]).await;
    assert!((604_000..=604_800).contains(&ttl), "{ttl}");
    let events: u64 = site.command(&["XLEN", &format!("cowrie:events:{one}")]).await;
    assert_eq!(events, 3);
}

#[tokio::test]
async fn a_wiped_redis_is_no_error_and_is_filled_again() {
    let mut site = Site::start().await;
    let (writer, reader) = (Writer::new(&site.url, 7).unwrap(), Reader::new(&site.url).unwrap());
    let queued = status(1, State::Queued, 1);
    let entries = [state_change(&queued, "q")];
    writer.write(&entries).await.unwrap();
    writer.mark_whole(DateTime::UNIX_EPOCH).await.unwrap();

    site.wipe().await;
    assert!(!writer.is_whole().await.unwrap());
    assert_eq!(reader.status(queued.job_id).await, Ok(None));
    assert_eq!(reader.queue("q", 10).await, Ok(None));
    assert_eq!(reader.queue_lengths(&["q"]).await, Ok(vec![None]));
    assert_eq!(writer.write(&entries).await.unwrap().new, 1);
    assert_eq!(reader.status(queued.job_id).await, Ok(Some(queued.clone())));

    // Stopped: every call fails, also the second one at once. Started again, empty and without the script: it
    // works.
    site.redis.stop().await;
    for _ in 0..2 {
        assert!(matches!(reader.status(queued.job_id).await, Err(Error::Away(_))));
        assert!(matches!(writer.write(&entries).await, Err(Error::Away(_))));
    }
    site.restart().await;
    let written = loop {
        match writer.write(&entries).await {
            Ok(written) => break written,
            Err(Error::Away(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!((written.new, written.refused), (1, 0));
}

#[tokio::test]
async fn keys_of_another_type_disturb_only_themselves() {
    let site = Site::start().await;
    let (writer, reader) = (Writer::new(&site.url, 7).unwrap(), Reader::new(&site.url).unwrap());
    writer.mark_whole(DateTime::UNIX_EPOCH).await.unwrap();
    let statuses = [1, 2, 3].map(|job| status(job, State::Queued, 1));
    let ids = statuses.each_ref().map(|status| status.job_id);
    let set = async |key: String, kind: &str| {
        let () = match kind {
            "hash" => site.command(&["HSET", &key, "version", "x"]).await,
            _ => site.command(&["SET", &key, "x"]).await,
        };
    };
    set(format!("cowrie:status:{}", ids[0]), "string").await;
    set(format!("celery-task-meta-{}", ids[1]), "hash").await;
    set("cowrie:jobs:q".into(), "string").await;
    set(format!("cowrie:status:{}", ids[2]), "hash").await;

    assert_eq!(reader.statuses(&ids).await, Ok(vec![None, None, None]));
    assert_eq!(reader.queue("q", 10).await, Ok(None));
    assert_eq!(reader.queue_lengths(&["q", "r"]).await, Ok(vec![None, Some(0)]));

    let entries = statuses.each_ref().map(|status| state_change(status, "q"));
    let written = writer.write(&entries).await.unwrap();
    assert_eq!((written.new, written.refused), (3, 0));
    assert_eq!(written.replaced, ids[..2], "the second one found the queue as the first one had left it");
    assert_eq!(reader.statuses(&ids).await, Ok(statuses.clone().map(Some).to_vec()));
    assert_eq!(reader.queue("q", 10).await, Ok(Some(ids.to_vec())));
    // The same status again repairs what was damaged since.
    set(format!("cowrie:events:{}", ids[2]), "string").await;
    assert_eq!(writer.write(&entries).await.unwrap().replaced, ids[2..]);
}

#[tokio::test]
async fn a_full_redis_refuses_statuses_and_grows_no_more() {
    let site = Site::start().await;
    let writer = Writer::new(&site.url, 7).unwrap();
    let (old, new) = (status(1, State::InProgress, 1), status(1, State::InProgress, 2));
    let queued = status(2, State::Queued, 1);
    assert_eq!(writer.write(&[progress(&old)]).await.unwrap().new, 1);
    let () = site.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let written = writer.write(&[progress(&new), state_change(&queued, "q")]).await.unwrap();
    assert_eq!((written.new, written.refused), (0, 2));
    assert!(matches!(written.reason, Some(Error::Refused(_))), "{:?}", written.reason);
    assert!(matches!(writer.mark_whole(DateTime::UNIX_EPOCH).await, Err(Error::Refused(_))));
    // Nothing was deleted to make room.
    assert_eq!(Reader::new(&site.url).unwrap().status(old.job_id).await, Ok(Some(old.clone())));
    let () = site.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_eq!(writer.write(&[progress(&new), state_change(&queued, "q")]).await.unwrap().new, 2);
}

#[tokio::test]
async fn subscribers_see_the_changes_of_all_jobs() {
    let mut site = Site::start().await;
    let (writer, reader) = (Writer::new(&site.url, 7).unwrap(), Reader::new(&site.url).unwrap());
    let mut all = reader.subscribe(Changes::All).await.unwrap();
    let mut progress_only = reader.subscribe(Changes::Progress).await.unwrap();
    let (queued, running) = (status(1, State::Queued, 1), status(2, State::InProgress, 5));
    let () = site.command(&["PUBLISH", "cowrie:status:x", "no status"]).await;
    writer.write(&[state_change(&queued, "q"), progress(&running)]).await.unwrap();
    assert_eq!(all.next().await, Some(queued));
    assert_eq!(all.next().await, Some(running.clone()));
    assert_eq!(progress_only.next().await, Some(running));
    site.redis.stop().await;
    assert_eq!(all.next().await, None, "the caller subscribes again");
}

#[tokio::test]
async fn a_url_that_cannot_be_read_is_named() {
    let Err(error) = Reader::new("localhost") else { panic!("it was read") };
    assert!(error.to_string().contains("redis://127.0.0.1:6379/0"), "{error}");
}
