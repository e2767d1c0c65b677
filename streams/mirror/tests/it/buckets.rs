use std::time::{Duration, Instant};

use mirror::{Bucket, Decision, Error, Limiter, SharedBuckets};
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, TestRunner},
};

use crate::site::Site;

/// The clock of Redis, in microseconds.
async fn now(site: &Site) -> u64 {
    let (seconds, micros): (u64, u64) = site.command(&["TIME"]).await;
    seconds * 1_000_000 + micros
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_clients_together_get_no_more_than_the_limit() {
    let site = Site::start().await;
    let clients = [SharedBuckets::new(&site.url).unwrap(), SharedBuckets::new(&site.url).unwrap()];
    let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    let strategy = (1..50u32, 0.1f64..20_000.0, 1..200usize);
    for case in 0..40 {
        let (capacity, per_second, takes) = strategy.new_tree(&mut runner).unwrap().current();
        let (name, bucket) = (format!("case-{case}"), Bucket::new(capacity, per_second).unwrap());
        let started = now(&site).await;
        let taking = clients.each_ref().map(|client| {
            let (client, name) = (client.clone(), name.clone());
            async move {
                let mut granted = 0;
                for _ in 0..takes {
                    granted += u64::from(client.take(&name, &bucket).await.unwrap().is_granted());
                }
                granted
            }
        });
        let granted: u64 = futures::future::join_all(taking).await.into_iter().sum();
        let seconds = (now(&site).await - started) as f64 / 1e6;
        let most = f64::from(capacity) + bucket.per_second() * seconds;
        assert!(granted as f64 <= most, "{granted} granted, {most} allowed: {bucket:?} {takes}");
        assert!(granted >= u64::from(capacity).min(2 * takes as u64), "{granted}: {bucket:?} {takes}");
    }
}

#[tokio::test]
async fn a_bucket_says_what_is_left_and_when_to_come_back() {
    let site = Site::start().await;
    let (buckets, bucket) = (SharedBuckets::new(&site.url).unwrap(), Bucket::new(2, 0.001).unwrap());
    assert_eq!(buckets.take("key", &bucket).await, Ok(Decision::Granted { remaining: 1 }));
    assert_eq!(buckets.take("key", &bucket).await, Ok(Decision::Granted { remaining: 0 }));
    let Ok(Decision::Denied { retry_after }) = buckets.take("key", &bucket).await else { panic!("granted") };
    assert!((990..=1_000).contains(&retry_after.as_secs()), "{retry_after:?}");
    assert!(buckets.take("other", &bucket).await.unwrap().is_granted());
    // It lives until it is full: two thousand seconds.
    let ttl: u64 = site.command(&["PTTL", "cowrie:bucket:key"]).await;
    assert!((1_980_000..=2_000_001).contains(&ttl), "{ttl}");

    // Wiped: a full bucket.
    site.wipe().await;
    assert_eq!(buckets.take("key", &bucket).await, Ok(Decision::Granted { remaining: 1 }));
}

#[tokio::test]
async fn a_wrong_value_or_a_clock_that_was_set_back_blocks_nobody_for_long() {
    let site = Site::start().await;
    let (buckets, bucket) = (SharedBuckets::new(&site.url).unwrap(), Bucket::new(3, 0.01).unwrap());
    for value in ["nonsense", ""] {
        let () = site.command(&["SET", "cowrie:bucket:key", value]).await;
        assert_eq!(buckets.take("key", &bucket).await, Ok(Decision::Granted { remaining: 2 }), "{value}");
    }
    let () = site.command(&["DEL", "cowrie:bucket:key"]).await;
    let _: u64 = site.command(&["LPUSH", "cowrie:bucket:key", "x"]).await;
    assert_eq!(buckets.take("key", &bucket).await, Ok(Decision::Granted { remaining: 2 }));

    // A day ahead: as empty as a bucket can be.
    let ahead = (now(&site).await + 86_400_000_000).to_string();
    for value in [&ahead, "nan", "inf"] {
        let () = site.command(&["SET", "cowrie:bucket:key", value]).await;
        let empty = Decision::Denied { retry_after: Duration::from_secs(100) };
        assert_eq!(buckets.take("key", &bucket).await, Ok(empty), "{value}");
        let stored: u64 = site.command(&["GET", "cowrie:bucket:key"]).await;
        assert!(stored <= now(&site).await + 300_000_000, "{value}: {stored}");
    }
}

#[tokio::test]
async fn without_redis_the_limit_holds_in_each_process() {
    let mut site = Site::start().await;
    let limiter = Limiter::new(Some(SharedBuckets::new(&site.url).unwrap()));
    let bucket = Bucket::new(2, 0.001).unwrap();
    let taken = limiter.take("key", &bucket).await;
    assert_eq!((taken.decision, taken.fallback), (Decision::Granted { remaining: 1 }, None));

    site.redis.stop().await;
    let since = Instant::now();
    for expected in [true, true, false] {
        let taken = limiter.take("key", &bucket).await;
        assert!(matches!(taken.fallback, Some(Error::Away(_))), "{taken:?}");
        assert_eq!(taken.decision.is_granted(), expected);
    }
    assert!(since.elapsed() < Duration::from_secs(2), "callers do not wait for a server that is away");

    site.restart().await;
    let decision = loop {
        let taken = limiter.take("key", &bucket).await;
        if taken.fallback.is_none() {
            break taken.decision;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(decision, Decision::Granted { remaining: 1 }, "Redis came back empty");
}

#[tokio::test]
async fn a_full_redis_does_not_stop_callers() {
    let site = Site::start().await;
    let limiter = Limiter::new(Some(SharedBuckets::new(&site.url).unwrap()));
    let () = site.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let taken = limiter.take("key", &Bucket::new(1, 1.0).unwrap()).await;
    assert!(taken.decision.is_granted());
    assert!(matches!(taken.fallback, Some(Error::Refused(_))), "{taken:?}");
}

#[tokio::test]
async fn without_a_redis_there_is_a_limit_too() {
    let (limiter, bucket) = (Limiter::new(None), Bucket::new(1, 0.001).unwrap());
    for expected in [true, false] {
        let taken = limiter.take("key", &bucket).await;
        assert_eq!((taken.decision.is_granted(), taken.fallback), (expected, None));
    }
}
