-- What readers look for: the sessions of a sensor or of an address, newest first, and findings by what they are about.
create index sessions_sensor_started on sessions (sensor, started_at);
create index sessions_src_ip_started on sessions (src_ip, started_at);
create index findings_sources on findings using gin (sources);
-- A key may be longer than a B-tree holds.
create index findings_key on findings using hash (key);
create index downloads_shasum on downloads (shasum) where shasum is not null;

-- Triage: what people say about a finding. The row has the newest answer, `finding_triage` all of them.
alter table findings
    -- open | acknowledged | false_positive | resolved
    add column status text not null default 'open',
    add column note text,
    -- name of the key
    add column triaged_by text,
    add column triaged_at timestamptz;
create table finding_triage (
    id bigint generated always as identity primary key,
    finding_id uuid not null references findings on delete cascade,
    triaged_at timestamptz not null default clock_timestamp(),
    triaged_by text not null,
    status text not null,
    note text
);
create index finding_triage_finding on finding_triage (finding_id, id);
