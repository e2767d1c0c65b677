//! Schedules that cannot fire, and hundreds that fire each second.

use std::time::{Duration, Instant};

use serde_json::json;
use servers::testing::eventually;

use crate::{http::http, hub::Hub};

#[tokio::test(flavor = "multi_thread")]
async fn schedules_hold_up_neither_each_other_nor_anything_else() {
    let hub = Hub::start().await;
    let put = |name: &str, cron: &str| {
        let body = json!({"cron": cron, "job": {"job_type": "diagnostic", "queue": "nobody"}}).to_string();
        http(&hub.rest, "PUT", &format!("/api/v1/schedules/{name}"), &[], Some(&body))
    };
    let asked = Instant::now();
    for cron in [
        ", * * * *",
        "*/61 * * * *",
        "1,,2 * * * *",
        "1,2,3,,4 * * * *",
        "0 0 30 2 *",
        "0 0 12 1 1 * 2030",
        "* * * * * * *",
        "5-1 * * * *",
        "@reboot",
    ] {
        let answer = put("bad", cron);
        assert_eq!((answer.status, answer.fields()), (422, vec!["cron"]), "{cron}");
    }
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    assert_eq!(put("good", "* * * * * *").status, 200);

    // As an earlier version stored them; first in line.
    hub.psql(
        r#"insert into schedules (name, cron, job, next_at) select 'old-' || n, cron, '{"job_type": "diagnostic", "queue": "nobody"}', now() - interval '1 hour'
        from unnest(array['0 0 12 1 1 * 2026', ', * * * *', '*/61 * * * *', 'nonsense', '0 0 31 2 *']) with ordinality as f (cron, n)"#,
    );
    // A caller that wants to take the place of firings.
    let now = boot::now().timestamp();
    for second in now..now + 30 {
        let body = json!({"job_type": "report", "queue": "nobody", "idempotency_key": format!("schedule:good:{second}")});
        assert_eq!(http(&hub.rest, "POST", "/api/v1/jobs", &[], Some(&body.to_string())).status, 201);
    }
    let fired = "select count(*) from jobs where schedule = 'good'";
    let before = hub.count(fired);
    eventually("the good one fires", || hub.count(fired) > before + 4);
    assert!(hub.count("select count(*) from jobs j join jobs k using (idempotency_key) where j.schedule = 'good' and k.schedule is null") > 0);
    assert_eq!(hub.count("select count(*) from schedules where name like 'old-%' and error like 'cannot fire%' and next_at > now()"), 5);

    // Hundreds that are due each second, and a job whose worker is gone.
    hub.psql(
        r#"insert into schedules (name, cron, job, next_at)
        select 'crowd-' || n, '* * * * * *', '{"job_type": "diagnostic", "queue": "nobody"}', now() from generate_series(1, 600) n"#,
    );
    eventually("the crowd fires", || {
        hub.count("select count(*) from jobs where schedule like 'crowd-%'") > 600
    });
    hub.psql(
        "insert into jobs (job_id, job_type, queue, parameters, priority, timeout_seconds, max_attempts, request_hash, state, attempt, lease_until, worker)
        values (gen_random_uuid(), 'diagnostic', 'lost', '{}', 5, 60, 3, '', 'in_progress', 1, now() - interval '1 s', 'gone')",
    );
    let lost = Instant::now();
    eventually("it is taken from its worker", || {
        hub.count("select count(*) from jobs where queue = 'lost' and state = 'in_progress'") == 0
    });
    println!(
        "with 600 schedules due each second a lost job was swept after {:.1} s",
        lost.elapsed().as_secs_f64()
    );
    assert!(lost.elapsed() < Duration::from_secs(15));
}
