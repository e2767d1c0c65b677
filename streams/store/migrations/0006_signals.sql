-- Live signals: a rule whose window crosses its threshold opens an episode, and an episode is one finding.

-- Which keys live events touched (event time near the clock; never logs of the past). Written in the transaction of the events, so it is there exactly
-- when their panes are; eaten by the leader in the transaction that judges them.
create table signal_marks (
    id bigint generated always as identity primary key,
    dimension pane_dimension not null,
    keys text[] not null,
    -- the newest live minute of each
    minutes timestamptz[] not null
);

-- What was found; published on FINDINGS.
create table findings (
    finding_id uuid primary key default gen_random_uuid(),
    -- signal
    kind text not null,
    -- info | low | medium | high | critical
    severity text not null,
    rule text not null,
    title text not null,
    -- of one sensor, else null
    sensor text,
    dimension pane_dimension not null,
    key text not null,
    -- of the window that crossed the threshold
    found_at timestamptz not null,
    -- that window, and what it was held against
    evidence jsonb not null,
    created_at timestamptz not null default now()
);
create index findings_found on findings (found_at);

-- A rule that holds for a key, from its first minute to its last. One that is open is unique.
create table episodes (
    rule text not null,
    key text not null,
    opened_at timestamptz not null,
    last_at timestamptz not null,
    -- after the rule's cooldown without it
    closed_at timestamptz,
    finding_id uuid not null references findings,
    primary key (rule, key, opened_at)
);
create unique index episodes_open on episodes (rule, key) where closed_at is null;

-- When the last live event of a sensor was committed: a sensor that only ever had logs of the past is never silent.
alter table deliveries add column last_live_at timestamptz;
