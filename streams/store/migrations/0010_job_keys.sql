-- The keys of firings have a namespace of their own, so that no caller's key can take the place of a firing.
create unique index jobs_idempotency on jobs (idempotency_key, (schedule is not null)) where idempotency_key is not null;
alter table jobs drop constraint jobs_idempotency_key_key;

-- Why its last firing made no job, or why it cannot fire at all. A schedule that cannot fire is looked at again each hour.
alter table schedules add column error text;
