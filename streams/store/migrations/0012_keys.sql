-- Access: API keys, and the log of what was done with them.

-- A key. The text of a key is csk_<key_id>_<secret><checksum>; only its SHA-256 is stored.
create table api_keys (
    key_id text primary key check (key_id ~ '^[0-9A-Za-z]{8}$'),
    -- For people; several keys may have one name, e.g. before and after a rotation.
    name text not null check (name ~ '^[A-Za-z0-9_-]{1,64}$'),
    hash bytea not null check (octet_length(hash) = 32),
    scopes text[] not null check (cardinality(scopes) > 0),
    -- The sensors whose data it may see; null: all.
    sensors text[] check (cardinality(sensors) > 0),
    -- Requests per day (UTC); null: any number.
    daily_quota bigint check (daily_quota > 0),
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz,
    revoked_at timestamptz,
    -- At most a minute old.
    last_used_at timestamptz,
    -- The key that a rotation made; this one then expires at the end of the overlap.
    replaced_by text references api_keys
);

-- How much of the daily quota the processes have taken. They take it in portions, so it is never exceeded, and what
-- a process had left when it ended is lost.
create table api_key_days (
    key_id text not null references api_keys on delete cascade,
    day date not null,
    requests bigint not null,
    primary key (key_id, day)
);

-- Key changes, job submissions, triage, and requests that were denied.
create table audit_log (
    entry_id bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    -- `<name> (<key_id>)`, or the way in: `command line`.
    who text not null,
    action text not null,
    -- What it was done to, e.g. the id of a key or of a job.
    target text not null default '',
    from_address text,
    outcome text not null check (outcome in ('done', 'denied')),
    detail text not null default ''
);

create index audit_log_at on audit_log (at);
