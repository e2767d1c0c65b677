-- What was submitted stays as it was submitted. What changes while a job waits and runs has columns of its own.

alter table jobs
    -- when the next attempt may start; null while an attempt runs, and when the job has ended
    add column next_attempt_at timestamptz,
    -- how often a caller retried the job after its end. Each retry adds one attempt to max_attempts; a deadline applies only before the first retry
    add column retries int not null default 0,
    -- as submitted; null: not given
    alter column not_before drop not null,
    alter column not_before drop default;

-- Existing jobs. Their changes are no news, so that no trigger may count them as a new version.
alter table jobs disable trigger user;
update jobs set next_attempt_at = not_before where state in ('queued', 'retrying');
-- not_before is still as submitted only before the end of the first attempt. Later values are lost, and so are those that came from no request: they
-- are the time of the submission.
update jobs j set not_before = null
where j.attempt > 1 or (j.attempt = 1 and j.state <> 'in_progress') or j.not_before < j.created_at + interval '1 second'
    or exists (select from job_events e where e.job_id = j.job_id and e.version < j.version and e.status ->> 'state' in ('failed', 'cancelled'));
-- A retried job waits without an error: its last error is in job_events.
update jobs set error_type = null, error_message = null where state = 'queued' and error_type is not null;
-- Reports and diagnostic jobs counted their steps as sessions.
update jobs set sessions_processed = null, total_sessions = null
where job_type in ('report', 'diagnostic') and (sessions_processed is not null or total_sessions is not null);
-- Hashes of the spelling of a request say nothing about the hash of the request as read. An empty hash compares type, parameters and queue.
update jobs set request_hash = '' where request_hash <> '';
alter table jobs enable trigger user;

alter table jobs alter column next_attempt_at set default clock_timestamp();

-- The time range of a result is `from` and `to` in every result.
update job_results r set result = jsonb_build_object('from', r.result #> '{counts,from_at}', 'to', r.result #> '{counts,to_at}')
    || (r.result #- '{counts,from_at}' #- '{counts,to_at}')
    || jsonb_build_object('timeline', coalesce((
        select jsonb_agg(jsonb_build_object('from', point -> 'from_at', 'to', point -> 'to_at') || (point - 'from_at' - 'to_at') order by n)
        from jsonb_array_elements(r.result -> 'timeline') with ordinality t (point, n)), '[]'))
from jobs j
where j.job_id = r.job_id and j.job_type = 'report' and r.result #> '{counts,from_at}' is not null and jsonb_typeof(r.result -> 'timeline') = 'array';

-- For the lists of the jobs of a schedule, and of those of a unique key, newest first.
create index jobs_of_schedule on jobs (schedule, created_at desc, job_id desc) where schedule is not null;
create index jobs_of_unique_key on jobs (unique_key, created_at desc, job_id desc) where unique_key is not null;

-- Attempts that may still start before the job is given up; 0 when it has ended.
create function job_attempts_left(job jobs) returns int language sql immutable parallel safe as $$
    select case when job.state in ('completed', 'failed', 'cancelled') then 0
        else greatest(0, job.max_attempts + job.retries - (job.attempt - job.uncounted_attempts)) end
$$;

-- A job's status, as REST, gRPC, NATS and Redis show it.
create or replace function job_status(job jobs) returns jsonb language sql stable parallel safe as $$
    select jsonb_build_object(
        'job_id', job.job_id, 'state', job.state, 'progress_percent', job.progress_percent, 'current_step', job.current_step,
        'sessions_processed', job.sessions_processed, 'total_sessions', job.total_sessions, 'estimated_completion', job.estimated_completion,
        'worker', job.worker, 'attempt', job.attempt, 'uncounted_attempts', job.uncounted_attempts, 'attempts_left', job_attempts_left(job),
        'next_attempt_at', job.next_attempt_at,
        'error', case when job.error_type is not null then jsonb_build_object('type', job.error_type, 'message', job.error_message) end,
        'updated_at', job.updated_at, 'version', job.version)
$$;

create or replace function job_changes() returns trigger language plpgsql as $$
begin
    new.version := old.version + 1;
    new.updated_at := clock_timestamp();
    if new.state not in ('queued', 'retrying') then
        new.next_attempt_at := null;
    end if;
    return new;
end $$;
