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
