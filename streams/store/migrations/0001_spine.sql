-- The spine: events once, what is derived from them, and the book-keeping that makes both provable.
-- This file is the reference of each table. Times are UTC; `ts` is a pure function of the log line.

-- One row per event: a distinct log line of a sensor. Inserted, never changed.
-- Partitioned by day on demand (events_YYYYMMDD). An event whose time cannot be read, or lies outside
-- 2015-2099, has ts = '-infinity' and stands in events_outside_time. There is deliberately no default
-- partition: with one, adding a day would wait for every running query.
create table events (
    -- 128 bits of BLAKE3 over (domain tag, length-prefixed sensor id, exact repaired line)
    event_id uuid not null,
    -- the configured sensor id, never the `sensor` field of the log
    sensor text not null,
    -- null when the event has no session
    session text,
    -- as logged: cowrie.login.failed, or anything a fork invented
    eventid text not null,
    ts timestamptz not null,
    -- null when the logged src_ip is no address; IPv4-mapped IPv6 is stored as IPv4, a zone id is dropped
    src_ip inet,
    -- the line; \u0000 and lone surrogates, which jsonb cannot hold, stand here as U+FFFD
    payload jsonb not null,
    -- the exact bytes of the line, only where payload cannot give them back (U+0000, lone surrogates,
    -- a key twice)
    line bytea,
    -- of the line in bytes, without its newline
    length integer not null,
    -- where the copy that arrived first was read: loader_files.file_id and the byte offset of the line
    source_file uuid,
    source_offset bigint,
    ingested_at timestamptz not null default now(),
    primary key (ts, event_id)
) partition by range (ts);
create table events_outside_time partition of events for values from (minvalue) to ('2015-01-01 00:00:00+00');
create index events_session on events (sensor, session);

-- Days dropped by retention. A later event of such a day is receipted, counted as sealed, and changes nothing.
create table sealed_days (
    day date primary key,
    sealed_at timestamptz not null default now()
);

-- Adds the partition of one day, idempotently and without stopping readers or writers.
-- Returns false when the day is sealed.
create function events_add_day(of_day date) returns boolean language plpgsql as $$
declare
    partition text := 'events_' || to_char(of_day, 'YYYYMMDD');
begin
    if exists (select from sealed_days where day = of_day) then
        return false;
    end if;
    perform pg_advisory_xact_lock(hashtext('cowriestream.events_add_day'));
    if to_regclass(partition) is null then
        execute format('create table %I (like events including all)', partition);
        execute format('alter table events attach partition %I for values from (%L) to (%L)',
            partition, of_day || ' 00:00:00+00', (of_day + 1) || ' 00:00:00+00');
    end if;
    return true;
end $$;

-- One row per session of a sensor, derived from its events by commutative merges: counters add, times take
-- min or max, and a "first" value carries the rank it won with (*_rank: 8 bytes time in microseconds, big
-- endian, offset 2^63, no time = 0xff..; 16 bytes event id; src_ip_rank is led by 0 for session.connect, else 1).
-- Any order, duplication or batching of the same events gives the same row.
create table sessions (
    sensor text not null,
    session text not null,
    -- ssh | telnet | as logged; of the first event that carries it; null before Cowrie 1.3
    protocol text,
    protocol_rank bytea,
    -- of the first session.connect; without one, of the first event whose src_ip is an address
    src_ip inet,
    src_ip_rank bytea,
    -- of the first session.connect only: elsewhere it may be what the attacker claims
    src_port integer,
    src_port_rank bytea,
    -- first and last event time; null when no event has a readable one
    started_at timestamptz,
    last_event_at timestamptz,
    -- true when a cowrie.session.closed was seen, and the latest time of one
    closed boolean not null default false,
    closed_at timestamptz,
    -- what the (first) session.closed reports: duration_ms, or duration in seconds as number or string
    reported_duration_ms bigint,
    reported_duration_rank bytea,
    -- set by the sweep: not closed, and last_event_at more than an hour behind the sensor's last event
    idle boolean not null default false,
    ended_at timestamptz generated always as
        (case when closed then coalesce(closed_at, last_event_at) when idle then last_event_at end) stored,
    close_reason text generated always as
        (case when closed then 'closed' when idle then 'idle' end) stored,
    -- milliseconds: as reported by session.closed, else ended_at - started_at
    duration_ms bigint generated always as
        (coalesce(reported_duration_ms, (extract(epoch from
            (case when closed then coalesce(closed_at, last_event_at) when idle then last_event_at end) - started_at
        ) * 1000)::bigint)) stored,
    -- of the first client.version, without the Python repr quotes of some Cowrie versions
    client_version text,
    client_version_rank bytea,
    -- of the first client.kex that has one
    hassh text,
    hassh_rank bytea,
    -- of the first login.success; password is null when a public key was used
    username text,
    password text,
    login_rank bytea,
    event_count bigint not null,
    -- login.success and login.failed
    login_attempts bigint not null,
    login_successes bigint not null,
    -- command.input (command.success and command.failed repeat it)
    command_count bigint not null,
    -- session.file_download
    download_count bigint not null,
    -- session.file_upload
    upload_count bigint not null,
    -- direct-tcpip.request
    forward_count bigint not null,
    -- sum of events.length
    bytes bigint not null,
    primary key (sensor, session)
);
create index sessions_started on sessions (started_at);
create index sessions_open on sessions (sensor, last_event_at) where not closed and not idle;

-- What SESSIONS carries of a closed session. The password stays here: a SIEM that may see it reads the event.
create function session_summary(s sessions) returns jsonb language sql stable as $$
    select jsonb_build_object(
        'schema', 1, 'sensor', s.sensor, 'session', s.session, 'protocol', s.protocol, 'src_ip', host(s.src_ip), 'src_port', s.src_port,
        'started_at', s.started_at, 'ended_at', s.ended_at, 'duration_ms', s.duration_ms, 'close_reason', s.close_reason,
        'client_version', s.client_version, 'hassh', s.hassh, 'username', s.username, 'event_count', s.event_count,
        'login_attempts', s.login_attempts, 'login_successes', s.login_successes, 'command_count', s.command_count,
        'download_count', s.download_count, 'upload_count', s.upload_count, 'forward_count', s.forward_count, 'bytes', s.bytes)
$$;
-- Its message id: a later event makes a new summary, which corrects the earlier one.
create function session_summary_id(sensor text, session text, event_count bigint) returns text language sql immutable as $$
    select 'session.' || sensor || '.' || md5(session) || '.' || event_count
$$;

-- One row per sensor, derived from its events.
create table sensors (
    sensor text primary key,
    first_event_at timestamptz,
    last_event_at timestamptz,
    event_count bigint not null,
    -- events in events_outside_time
    outside_time_count bigint not null,
    bytes bigint not null
);

-- What the stream delivered, duplicates included. Operational: not a function of the logs.
create table deliveries (
    sensor text primary key,
    events bigint not null,
    duplicates bigint not null,
    sealed bigint not null,
    last_delivery_at timestamptz not null default now()
);

-- The receipts: which bytes of which file are committed here. A range starts where the previous message of
-- the file ended, so blank and NUL bytes before a line belong to its range.
create table loader_files (
    id bigint generated always as identity,
    sensor text not null,
    -- 128 bits of BLAKE3 over device, inode, generation and fingerprint
    file_id uuid not null,
    -- as last announced by the loader
    path text,
    device bigint,
    inode bigint,
    -- counts truncations of the same inode
    generation integer,
    -- 128 bits of BLAKE3 of the first complete line, hex
    fingerprint text,
    committed int8multirange not null,
    primary key (sensor, file_id)
);
create index loader_files_fingerprint on loader_files (sensor, fingerprint);

-- What could not be used, with its bytes. The same bytes of the same sensor are one row.
create table dead_letters (
    -- 128 bits of BLAKE3 over (domain tag, sensor id, hash of all bytes)
    dead_id uuid primary key,
    sensor text not null,
    -- closed set, see events::dead::Reason
    reason text not null,
    -- for people: what exactly was wrong
    detail text not null,
    -- up to 256 KiB; null for a gap
    body bytea,
    -- of all of it, in bytes
    length bigint not null,
    -- BLAKE3 of all of it
    hash bytea not null,
    -- of the copies seen, the smallest (file, offset)
    source_file uuid,
    source_offset bigint,
    source_path text,
    ingested_at timestamptz not null default now(),
    -- set by the insert of the event that a replay published
    resolved_at timestamptz,
    resolved_event uuid
);
create index dead_letters_sensor on dead_letters (sensor, ingested_at);

-- What must be published because a transaction committed. Kept as long as the stream keeps the message,
-- so that what a broker lost can be published again.
create table outbox (
    id bigint generated always as identity primary key,
    subject text not null,
    -- Nats-Msg-Id; the same thing is queued once
    msg_id text not null unique,
    payload jsonb not null,
    created_at timestamptz not null default now(),
    published_at timestamptz,
    -- the stream's creation time (nanoseconds since 1970) and the message's sequence in it
    stream_created bigint,
    stream_seq bigint
);
create index outbox_waiting on outbox (id) where published_at is null;
create index outbox_published on outbox (published_at);
create index outbox_place on outbox (stream_created, stream_seq);

-- How far each stream was seen, to notice a broker or a database that was restored from a copy.
create table stream_positions (
    stream text primary key,
    -- the stream's creation time, nanoseconds since 1970
    created bigint not null,
    last_seq bigint not null,
    -- everything up to here was acknowledged, thus committed
    floor bigint not null
);
