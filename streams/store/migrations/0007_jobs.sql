-- Jobs: the truth. A message on JOBS is a permit to look here; Redis mirrors what stands here.

create type job_state as enum ('queued', 'in_progress', 'retrying', 'completed', 'failed', 'cancelled');

-- A job. Whoever runs it writes with its attempt, and only while its lease holds.
create table jobs (
    job_id uuid primary key,
    job_type text not null,
    queue text not null,
    -- with defaults filled in
    parameters jsonb not null,
    -- 1 (last) to 10 (first)
    priority smallint not null,
    created_at timestamptz not null default clock_timestamp(),
    -- not started before; moved on for the next attempt
    not_before timestamptz not null default clock_timestamp(),
    -- given up when not started by then
    deadline timestamptz,
    -- of one attempt
    timeout_seconds int not null,
    max_attempts int not null,
    min_memory_gb float8 not null default 0,
    min_cpu_cores int not null default 0,
    -- one of these; empty: any, or none
    accelerators text[] not null default '{}',
    idempotency_key text unique,
    -- SHA-256 of the request, to tell a repetition from another request with the same key
    request_hash bytea not null,
    unique_key text,
    schedule text,
    -- W3C trace context of the submission
    traceparent text,

    state job_state not null default 'queued',
    -- rises with every change
    version bigint not null default 1,
    updated_at timestamptz not null default clock_timestamp(),
    attempt int not null default 0,
    worker_id uuid,
    worker text,
    -- the worker must renew it; after it anybody may take the job
    lease_until timestamptz,
    started_at timestamptz,
    finished_at timestamptz,
    cancel_requested boolean not null default false,
    -- what a retried attempt goes on from
    checkpoint jsonb,

    progress_percent float8 not null default 0,
    current_step text,
    sessions_processed bigint,
    total_sessions bigint,
    estimated_completion timestamptz,
    error_type text,
    error_message text
) with (fillfactor = 70);
-- In the order in which they are started.
create index jobs_due on jobs (queue, priority desc, created_at) where state in ('queued', 'retrying');
-- In the order in which they came: for those that have waited too long.
create index jobs_oldest on jobs (queue, created_at) where state in ('queued', 'retrying');
create index jobs_running on jobs (worker_id) where state = 'in_progress';
create unique index jobs_unique_key on jobs (unique_key) where state in ('queued', 'in_progress', 'retrying');
create index jobs_ended on jobs (finished_at) where finished_at is not null;
create index jobs_newest on jobs (created_at desc, job_id desc);

-- What a job gave.
create table job_results (
    job_id uuid primary key references jobs on delete cascade,
    attempt int not null,
    result jsonb not null,
    finished_at timestamptz not null default clock_timestamp()
);

-- Every state a job went through, as it was told to those who watch. Progress within a state is not kept.
create table job_events (
    id bigint generated always as identity primary key,
    job_id uuid not null references jobs on delete cascade,
    version bigint not null,
    at timestamptz not null default clock_timestamp(),
    status jsonb not null
);
create index job_events_job on job_events (job_id, version);

-- What a step of a diagnostic job did: one row for each, whoever did it.
create table diagnostic_steps (
    job_id uuid not null references jobs on delete cascade,
    step int not null,
    attempt int not null,
    worker text not null,
    at timestamptz not null default clock_timestamp(),
    primary key (job_id, step)
);

-- A job's status, as everybody is told it.
create function job_status(job jobs) returns jsonb language sql stable parallel safe as $$
    select jsonb_build_object(
        'job_id', job.job_id, 'state', job.state, 'progress_percent', job.progress_percent, 'current_step', job.current_step,
        'sessions_processed', job.sessions_processed, 'total_sessions', job.total_sessions, 'estimated_completion', job.estimated_completion,
        'worker', job.worker, 'attempt', job.attempt,
        'error', case when job.error_type is not null then jsonb_build_object('type', job.error_type, 'message', job.error_message) end,
        'updated_at', job.updated_at, 'version', job.version)
$$;

create function job_changes() returns trigger language plpgsql as $$
begin
    new.version := old.version + 1;
    new.updated_at := clock_timestamp();
    return new;
end $$;
-- Renewing a lease changes nothing that anybody is told.
create trigger job_changes before update on jobs for each row
    when (old.state is distinct from new.state or old.progress_percent is distinct from new.progress_percent or old.attempt is distinct from new.attempt
        or old.current_step is distinct from new.current_step or old.sessions_processed is distinct from new.sessions_processed)
    execute function job_changes();

create function job_changed() returns trigger language plpgsql as $$
begin
    insert into job_events (job_id, version, at, status) values (new.job_id, new.version, new.updated_at, job_status(new));
    return null;
end $$;
create trigger job_created after insert on jobs for each row execute function job_changed();
create trigger job_changed after update on jobs for each row
    when (old.state is distinct from new.state or old.attempt is distinct from new.attempt) execute function job_changed();

-- Who runs jobs. A row is one start of a worker; readers age its heartbeat themselves.
create table workers (
    worker_id uuid primary key,
    -- chosen by whoever runs it; exclusive queues and preferences know it by this
    name text not null,
    hostname text not null,
    -- native, containerized
    type text not null,
    platform text not null,
    concurrency int not null,
    running int not null default 0,
    -- [{"queue": "longtail", "priority": 100, "exclusive": false}]
    queues jsonb not null,
    job_types text[] not null,
    accelerator text not null default 'none',
    memory_gb float8 not null,
    cpu_cores int not null,
    -- finishes what it has, takes nothing more
    draining boolean not null default false,
    started_at timestamptz not null default clock_timestamp(),
    heartbeat_at timestamptz not null default clock_timestamp()
);
-- Queues that somebody paused.
create table paused_queues (
    queue text primary key,
    paused_at timestamptz not null default clock_timestamp()
);
-- Queues that only these workers may serve, whether they live or not. Stored when such a worker registers.
create table exclusive_queues (
    queue text not null,
    worker text not null,
    primary key (queue, worker)
);

-- Jobs at times.
create table schedules (
    name text primary key,
    cron text not null,
    -- the request, as submitted at each firing
    job jsonb not null,
    catch_up boolean not null default false,
    -- from a file: gone from there, gone from here
    from_file boolean not null default false,
    next_at timestamptz not null,
    last_at timestamptz
);
