-- Attempts that are not the job's fault, and attempts that are.

-- `attempt` guards writes and rises with each claim. A job has failed when attempt - uncounted_attempts reaches max_attempts.
alter table jobs
    -- attempts that ended because a dependency or the worker went away, or because the worker handed the job back
    add column uncounted_attempts int not null default 0,
    -- attempts that killed the process they ran in
    add column crashes int not null default 0,
    -- workers that died while they ran it, one after the other, without a checkpoint in between
    add column lost_workers int not null default 0;
