-- Trigger: each change of a job gets a version and a time.
create or replace function job_changes() returns trigger language plpgsql as $$
begin
    new.version := old.version + 1;
    new.updated_at := clock_timestamp();
    if new.state not in ('queued', 'retrying') then
        new.next_attempt_at := null;
    end if;
    return new;
end $$;
