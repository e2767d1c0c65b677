//! Jobs that earlier versions stored.

use std::{fs, path::Path};

use servers::testing::{Backend, directory, psql};

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_known_of_the_requests_of_earlier_jobs_is_kept() {
    let directory = directory();
    let mut postgres = Backend::postgres(directory.path()).await;
    let url = postgres.url();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../streams/store/migrations");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let (before, after) =
        files.split_at(files.iter().position(|file| file.ends_with("0011_job_requests.sql")).unwrap());
    for file in before {
        psql(&url, &fs::read_to_string(file).unwrap());
    }
    psql(
        &url,
        r#"insert into jobs (job_id, job_type, queue, parameters, priority, created_at, not_before, timeout_seconds, max_attempts,
            request_hash, state, attempt, error_type, error_message, sessions_processed)
        select gen_random_uuid(), case n when 6 then 'longtail_analysis' else 'report' end, 'q' || n, '{}', 5, now(), now() + not_before, 60, 3, '\x01',
            state::job_state, attempt, 'Retry', 'why', 7
        from (values (1, 'queued', 0, interval '0'), (2, 'queued', 0, interval '1 hour'), (3, 'queued', 1, interval '1 hour'),
            (4, 'retrying', 2, interval '1 hour'), (5, 'completed', 1, interval '1 hour'), (6, 'in_progress', 1, interval '1 hour'))
            as f (n, state, attempt, not_before);
        insert into job_results (job_id, attempt, result) select job_id, 1, '{"counts": {"from_at": "a", "to_at": "b", "events": 1},
            "timeline": [{"from_at": "c", "to_at": "d", "events": 2}, {"from_at": "e", "to_at": "f", "events": 3}], "markdown": "m"}'
        from jobs where queue = 'q5'"#,
    );
    for file in after {
        psql(&url, &fs::read_to_string(file).unwrap());
    }
    let jobs = psql(
        &url,
        "select queue, not_before is not null, next_attempt_at > now() + interval '10 minutes', error_type, request_hash = '', sessions_processed,
            version, (job_status(jobs) ->> 'attempts_left') from jobs order by queue",
    );
    assert_eq!(
        jobs.lines().collect::<Vec<_>>(),
        [
            "q1|f|f||t||1|3",
            "q2|t|t||t||1|3",
            "q3|f|t||t||1|2",
            "q4|f|t|Retry|t||1|1",
            "q5|f||Retry|t||1|0",
            "q6|t||Retry|t|7|1|2",
        ]
    );
    let result = psql(&url, "select result from job_results");
    let expected = r#"{"to": "b", "from": "a", "counts": {"events": 1}, "markdown": "m", "timeline": [{"to": "d", "from": "c", "events": 2}, {"to": "f", "from": "e", "events": 3}]}"#;
    assert_eq!(result.trim(), expected);
    postgres.stop().await;
}
