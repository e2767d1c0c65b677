-- Sliding windows: panes that add up, and the functions that add them.

-- By what windows are asked for (see events::Dimension); the key is the value of the event's own field.
create type pane_dimension as enum (
    'all', 'sensor', 'eventid', 'src_ip', 'src_net', 'username', 'password', 'credential', 'hassh', 'client_version', 'command', 'download', 'forward');
create type pane_grain as enum ('minute', 'hour', 'day');

-- What events of one (dimension, key) add up to within one minute, hour or day. A pane is a pure function of single events: it counts only those that
-- carry the key themselves. The processor only ever adds rows of a minute, in the transaction of the events; so competing processors never wait
-- for each other, and one pane may be several rows. A sum over rows is right at any moment, because every event stands in exactly
--   * one row that is not covered (a minute's, an hour's or a day's), and
--   * one row of each finer grain below that, covered.
-- The roll-up turns rows that are many into one coarser row and covers them; a late event is a new minute row, and nothing has to be corrected.
-- Dropping the partitions of a grain (retention) drops nothing that is not in a coarser row.
create table feature_panes (
    -- start of the minute, hour or day (UTC)
    at timestamptz not null,
    -- time of the first and last event
    first_seen timestamptz not null,
    last_seen timestamptz not null,
    -- of log lines
    bytes bigint not null,
    events integer not null,
    -- session.connect
    sessions integer not null,
    -- login.failed, login.success
    logins_failed integer not null,
    logins_succeeded integer not null,
    -- command.input
    commands integer not null,
    -- session.file_download
    downloads integer not null,
    dimension pane_dimension not null,
    grain pane_grain not null,
    covered boolean not null,
    -- bounded, see pane_key
    key text collate "C" not null,
    -- sketches (see sketch_hash) of distinct source addresses, sensors, sessions and credentials tried; null when there are none, and where the
    -- dimension says it already (src_ip, sensor, credential)
    src_ips bigint[],
    sensors bigint[],
    session_ids bigint[],
    credentials bigint[]
) partition by list (grain);
create table feature_panes_minute partition of feature_panes for values in ('minute') partition by range (at);
create table feature_panes_hour partition of feature_panes for values in ('hour') partition by range (at);
create table feature_panes_day partition of feature_panes for values in ('day') partition by range (at);
create index feature_panes_window on feature_panes (dimension, key, covered, at);
create index feature_panes_at on feature_panes using brin (at) with (pages_per_range = 16);

-- Adds the partitions that hold a day's panes: its week of minutes, month of hours, year of days. Idempotent, stops nobody.
create function panes_add_day(of_day date) returns void language plpgsql as $$
declare
    piece record;
begin
    perform pg_advisory_xact_lock(hashtext('cowriestream.events_add_day'));
    for piece in
        select parent, parent || '_' || name as partition, first, (first + length)::date as beyond from (values
            ('feature_panes_minute', to_char(of_day, 'IYYY"w"IW'), date_trunc('week', of_day::timestamp)::date, interval '1 week'),
            ('feature_panes_hour', to_char(of_day, 'YYYYMM'), date_trunc('month', of_day::timestamp)::date, interval '1 month'),
            ('feature_panes_day', to_char(of_day, 'YYYY'), date_trunc('year', of_day::timestamp)::date, interval '1 year')
        ) as p (parent, name, first, length)
    loop
        if to_regclass(piece.partition) is null then
            execute format('create table %I (like feature_panes including all)', piece.partition);
            execute format('alter table %I attach partition %I for values from (%L) to (%L)',
                piece.parent, piece.partition, piece.first || ' 00:00:00+00', piece.beyond || ' 00:00:00+00');
        end if;
    end loop;
end $$;
-- A day of events has its panes' partitions too.
create or replace function events_add_day(of_day date) returns boolean language plpgsql as $$
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
    perform panes_add_day(of_day);
    return true;
end $$;

-- Hours (their starts) in which a batch added panes: what the roll-up should look at. Written by processors, eaten by the leader.
create table pane_touches (
    id bigint generated always as identity,
    hours timestamptz[] not null,
    touched_at timestamptz not null default clock_timestamp()
);
-- Spans that the roll-up has to visit (again).
create table pane_visits (
    grain pane_grain not null,
    at timestamptz not null,
    -- of the newest touch: a span that is still written to is left alone
    touched_at timestamptz not null,
    primary key (grain, at)
);
-- Minutes (hours, days) before this were dropped: a window that begins there is answered to the hour (the day).
create table pane_retention (
    grain pane_grain primary key,
    dropped_before timestamptz not null
);

-- A value as a key: one of more than 120 characters is its first 100, an ellipsis, and 16 hex digits of its SHA-256.
create function pane_key(value text) returns text language sql immutable parallel safe as $$
    select case when char_length(value) <= 120 then value
        else left(value, 100) || U&'\2026' || encode(substr(sha256(convert_to(value, 'UTF8')), 1, 8), 'hex') end
$$;

-- Distinct counts: a bottom-k sketch holds the 1024 smallest distinct hashes, ascending. Exact below 1024 values; beyond, the relative
-- standard error is 3.13 % (see events::Sketch, which gives the same numbers).
create function sketch_hash(value text) returns bigint language sql immutable parallel safe as $$
    select ('x' || encode(substr(sha256(convert_to(value, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint
$$;
-- The count, from how many hashes are kept and the largest of them.
create function sketch_estimate(kept bigint, largest bigint) returns bigint language sql immutable parallel safe as $$
    select case when kept < 1024 then kept
        else round(1023 / ((largest::float8 + 9223372036854775808) / 18446744073709551616))::bigint end
$$;
create function sketch_count(sketch bigint[]) returns bigint language sql immutable parallel safe as $$
    select sketch_estimate(coalesce(cardinality(sketch), 0), sketch[cardinality(sketch)])
$$;
create function sketch_merge(one bigint[], other bigint[]) returns bigint[] language sql immutable parallel safe as $$
    select array(select distinct h from unnest(one || other) as u (h) order by h limit 1024)
$$;
create aggregate sketch_union(bigint[]) (sfunc = sketch_merge, stype = bigint[], initcond = '{}', combinefunc = sketch_merge, parallel = safe);

-- A credential as a key: `:` and `\` in the username are led by `\`.
create function credential_key(username text, password text) returns text language sql immutable parallel safe as $$
    select replace(replace(username, '\', '\\'), ':', '\:') || ':' || password
$$;
-- The value if it is a text.
create function json_text(value jsonb) returns text language sql immutable parallel safe as $$
    select case when jsonb_typeof(value) = 'string' then value #>> '{}' end
$$;
-- The keys that an event carries, but for the command, which Rust normalises: its key here is as typed.
create function event_keys(e events) returns table (dimension pane_dimension, key text) language sql immutable parallel safe as $$
    select dimension, pane_key(value) from (values
        ('all'::pane_dimension, ''),
        ('sensor', e.sensor),
        ('eventid', e.eventid),
        ('src_ip', host(e.src_ip)),
        ('src_net', case family(e.src_ip) when 4 then text(network(set_masklen(e.src_ip, 24))) when 6 then text(network(set_masklen(e.src_ip, 48))) end),
        ('username', case when e.eventid in ('cowrie.login.success', 'cowrie.login.failed') then json_text(e.payload -> 'username') end),
        ('password', case when e.eventid in ('cowrie.login.success', 'cowrie.login.failed') then json_text(e.payload -> 'password') end),
        ('credential', case when e.eventid in ('cowrie.login.success', 'cowrie.login.failed')
            then credential_key(json_text(e.payload -> 'username'), json_text(e.payload -> 'password')) end),
        ('hassh', case when e.eventid = 'cowrie.client.kex' then nullif(json_text(e.payload -> 'hassh'), '') end),
        ('client_version', case when e.eventid = 'cowrie.client.version'
            then regexp_replace(json_text(e.payload -> 'version'), '^b?([''"])(.*)\1$', '\2') end),
        ('command', case when e.eventid = 'cowrie.command.input' then json_text(e.payload -> 'input') end),
        ('download', case when e.eventid in ('cowrie.session.file_download', 'cowrie.session.file_upload') then nullif(json_text(e.payload -> 'shasum'), '') end),
        ('forward', case when e.eventid = 'cowrie.direct-tcpip.request'
            then nullif(json_text(e.payload -> 'dst_ip'), '') || coalesce(':' || json_int(e.payload -> 'dst_port'), '') end)
    ) as k (dimension, value)
    where value is not null and e.ts > '-infinity'
$$;

-- What a window means: it ends with the minute that holds `at` (a full minute ends itself), and begins `span` earlier (a month is 30 days).
-- `grain` says how exact that is: 'minute', unless the minutes there were dropped; then it is widened to whole hours or days.
create function window_bounds(span interval, at timestamptz, out from_at timestamptz, out to_at timestamptz, out grain pane_grain)
language sql stable as $$
    select
        case when from_at < h then date_bin('1 day', from_at, 'epoch') when from_at < m then date_bin('1 hour', from_at, 'epoch') else from_at end,
        case when to_at < h then date_bin('1 day', to_at + interval '1 day' - interval '1 minute', 'epoch')
            when to_at < m then date_bin('1 hour', to_at + interval '1 hour' - interval '1 minute', 'epoch') else to_at end,
        (case when from_at < h then 'day' when from_at < m then 'hour' else 'minute' end)::pane_grain
    from (
        select to_at - make_interval(secs => extract(epoch from span)::float8) as from_at, to_at,
            coalesce((select dropped_before from pane_retention r where r.grain = 'minute'), '-infinity') as m,
            coalesce((select dropped_before from pane_retention r where r.grain = 'hour'), '-infinity') as h
        from (select date_bin('1 minute', at - interval '1 microsecond', 'epoch') + interval '1 minute' as to_at) t
    ) w
$$;

-- Starts of the hour and day that hold a time, or begin at or after it.
create function hour_of(at timestamptz) returns timestamptz language sql immutable parallel safe as $$ select date_bin('1 hour', at, 'epoch') $$;
create function day_of(at timestamptz) returns timestamptz language sql immutable parallel safe as $$ select date_bin('1 day', at, 'epoch') $$;
create function hour_from(at timestamptz) returns timestamptz language sql immutable parallel safe as $$ select date_bin('1 hour', at + interval '3599.999999 seconds', 'epoch') $$;
create function day_from(at timestamptz) returns timestamptz language sql immutable parallel safe as $$ select date_bin('1 day', at + interval '86399.999999 seconds', 'epoch') $$;

-- The rows that add up to what lies from `from_at` to before `to_at` (whole minutes): whole days, whole hours beside them, minutes at the
-- ends, and whatever is not rolled up. Every bound is an expression of the arguments, so that each is a condition of the index.
create function window_panes(of_dimension pane_dimension, of_key text, from_at timestamptz, to_at timestamptz) returns setof feature_panes
language sql stable as $$
    select * from feature_panes_minute p
    where p.dimension = of_dimension and p.key = of_key and not p.covered and p.at >= from_at and p.at < to_at
    union all
    select * from feature_panes_minute p
    where p.dimension = of_dimension and p.key = of_key and p.covered and p.at >= from_at and p.at < least(hour_from(from_at), to_at)
    union all
    select * from feature_panes_minute p
    where p.dimension = of_dimension and p.key = of_key and p.covered and p.at >= greatest(hour_of(to_at), least(hour_from(from_at), to_at)) and p.at < to_at
    union all
    select * from feature_panes_hour p
    where p.dimension = of_dimension and p.key = of_key and not p.covered and p.at >= hour_from(from_at) and p.at < hour_of(to_at)
    union all
    select * from feature_panes_hour p
    where p.dimension = of_dimension and p.key = of_key and p.covered and p.at >= hour_from(from_at) and p.at < least(day_from(from_at), hour_of(to_at))
    union all
    select * from feature_panes_hour p
    where p.dimension = of_dimension and p.key = of_key and p.covered
        and p.at >= greatest(day_of(to_at), least(day_from(from_at), hour_of(to_at))) and p.at < hour_of(to_at)
    union all
    select * from feature_panes_day p
    where p.dimension = of_dimension and p.key = of_key and not p.covered and p.at >= day_from(from_at) and p.at < day_of(to_at)
$$;

-- Who does what only one may do. A holder that was paused and wakes is refused by its epoch.
create table leases (
    name text primary key,
    holder uuid not null,
    -- grows with every change of holder
    epoch bigint not null,
    expires_at timestamptz not null
);

-- Everything a window says. The distinct counts are exact below 1024 (`sketch_hash`); a query that does not ask for them does not pay for them.
create function window_features(of_dimension pane_dimension, of_key text, span interval, at timestamptz default now())
returns table (
    dimension pane_dimension, key text,
    -- what was counted, to which grain its ends are exact
    from_at timestamptz, to_at timestamptz, grain pane_grain,
    events bigint, sessions bigint, logins_failed bigint, logins_succeeded bigint, commands bigint, downloads bigint, bytes bigint,
    first_seen timestamptz, last_seen timestamptz,
    distinct_src_ips bigint, distinct_sensors bigint, distinct_sessions bigint, distinct_credentials bigint
) language sql stable as $$
    select of_dimension, of_key, b.from_at, b.to_at, b.grain,
        s.events, s.sessions, s.logins_failed, s.logins_succeeded, s.commands, s.downloads, s.bytes, s.first_seen, s.last_seen,
        case when of_dimension = 'src_ip' then least(s.events, 1)
            else (select sketch_estimate(count(*), max(h)) from (select distinct h from window_panes(of_dimension, pane_key(of_key), b.from_at, b.to_at) p, unnest(p.src_ips) h order by h limit 1024) d) end,
        case when of_dimension = 'sensor' then least(s.events, 1)
            else (select sketch_estimate(count(*), max(h)) from (select distinct h from window_panes(of_dimension, pane_key(of_key), b.from_at, b.to_at) p, unnest(p.sensors) h order by h limit 1024) d) end,
        (select sketch_estimate(count(*), max(h)) from (select distinct h from window_panes(of_dimension, pane_key(of_key), b.from_at, b.to_at) p, unnest(p.session_ids) h order by h limit 1024) d),
        case when of_dimension = 'credential' then least(s.events, 1)
            else (select sketch_estimate(count(*), max(h)) from (select distinct h from window_panes(of_dimension, pane_key(of_key), b.from_at, b.to_at) p, unnest(p.credentials) h order by h limit 1024) d) end
    from window_bounds(span, at) b, lateral (
        select coalesce(sum(p.events), 0)::bigint as events, coalesce(sum(p.sessions), 0)::bigint as sessions,
            coalesce(sum(p.logins_failed), 0)::bigint as logins_failed, coalesce(sum(p.logins_succeeded), 0)::bigint as logins_succeeded,
            coalesce(sum(p.commands), 0)::bigint as commands, coalesce(sum(p.downloads), 0)::bigint as downloads, coalesce(sum(p.bytes), 0)::bigint as bytes,
            min(p.first_seen) as first_seen, max(p.last_seen) as last_seen
        from window_panes(of_dimension, pane_key(of_key), b.from_at, b.to_at) p
    ) s
$$;

-- The same for every step of a longer span, oldest first: a chart's points. A step's own window is [from_at, to_at).
create function window_series(of_dimension pane_dimension, of_key text, span interval, step interval, at timestamptz default now())
returns table (
    dimension pane_dimension, key text, from_at timestamptz, to_at timestamptz, grain pane_grain,
    events bigint, sessions bigint, logins_failed bigint, logins_succeeded bigint, commands bigint, downloads bigint, bytes bigint,
    first_seen timestamptz, last_seen timestamptz,
    distinct_src_ips bigint, distinct_sensors bigint, distinct_sessions bigint, distinct_credentials bigint
) language sql stable as $$
    select w.*
    from window_bounds(span, at) b,
        generate_series(b.from_at + make_interval(secs => extract(epoch from step)::float8), b.to_at, make_interval(secs => extract(epoch from step)::float8)) as t (step_end),
        lateral window_features(of_dimension, of_key, step, t.step_end) w
$$;

-- The rows that add up to a window, of every key.
create function window_panes(of_dimension pane_dimension, from_at timestamptz, to_at timestamptz) returns setof feature_panes
language sql stable as $$
    select * from feature_panes_minute p where p.dimension = of_dimension and not p.covered and p.at >= from_at and p.at < to_at
    union all
    select * from feature_panes_minute p
    where p.dimension = of_dimension and p.covered and p.at >= from_at and p.at < to_at and (p.at < hour_from(from_at) or p.at >= hour_of(to_at))
    union all
    select * from feature_panes_hour p where p.dimension = of_dimension and not p.covered and p.at >= hour_from(from_at) and p.at < hour_of(to_at)
    union all
    select * from feature_panes_hour p
    where p.dimension = of_dimension and p.covered and p.at >= hour_from(from_at) and p.at < hour_of(to_at) and (p.at < day_from(from_at) or p.at >= day_of(to_at))
    union all
    select * from feature_panes_day p where p.dimension = of_dimension and p.at >= day_from(from_at) and p.at < day_of(to_at)
$$;

-- The keys with most of a measure within a window: events, sessions, logins_failed, logins_succeeded, commands, downloads, bytes,
-- distinct_src_ips, distinct_sensors, distinct_sessions or distinct_credentials. Equals are in the order of the key.
create function window_top(of_dimension pane_dimension, measure text, span interval, at timestamptz default now(), n integer default 10)
returns table (key text, value bigint) language plpgsql stable as $$
declare
    column_of text := case measure when 'distinct_src_ips' then 'src_ips' when 'distinct_sensors' then 'sensors'
        when 'distinct_sessions' then 'session_ids' when 'distinct_credentials' then 'credentials' end;
    w record;
begin
    if measure not in ('events', 'sessions', 'logins_failed', 'logins_succeeded', 'commands', 'downloads', 'bytes') and column_of is null then
        raise exception 'no measure %', quote_literal(measure) using errcode = 'invalid_parameter_value', hint =
            'one of events, sessions, logins_failed, logins_succeeded, commands, downloads, bytes, distinct_src_ips, distinct_sensors, distinct_sessions, distinct_credentials';
    end if;
    select * into w from window_bounds(span, at);
    if column_of is null then
        return query execute format(
            'select p.key, sum(p.%I)::bigint as value from window_panes($1, $2, $3) p group by p.key having sum(p.%1$I) > 0 order by value desc, p.key limit $4', measure)
            using of_dimension, w.from_at, w.to_at, n;
    elsif (column_of, of_dimension) in (('src_ips', 'src_ip'), ('sensors', 'sensor'), ('credentials', 'credential')) then
        return query select distinct p.key, 1::bigint from window_panes(of_dimension, w.from_at, w.to_at) p order by p.key limit n;
    else
        return query execute format(
            'select k.key, sketch_estimate(count(*), max(h)) as value from (
                select d.key, h, row_number() over (partition by d.key order by h) as place
                from (select distinct p.key, h from window_panes($1, $2, $3) p, unnest(p.%I) h) d
            ) k where place <= 1024 group by k.key order by value desc, k.key limit $4', column_of)
            using of_dimension, w.from_at, w.to_at, n;
    end if;
end $$;

-- Days with events that were here before there were panes: the leader adds them, newest first. Those ingested before `before` have none.
create table pane_backfill (
    day date primary key,
    before timestamptz not null
);
do $$ begin
    -- After this every earlier insert is visible, and a later one comes from a processor that knows panes.
    lock table events in share row exclusive mode;
    insert into pane_backfill
    select to_date(right(relname, 8), 'YYYYMMDD'), clock_timestamp()
    from pg_inherits join pg_class c on c.oid = inhrelid
    where inhparent = 'events'::regclass and relname ~ '^events_[0-9]{8}$';
end $$;

-- New events more than an hour behind the newest event of their sensor that was committed before: they changed windows of the past.
alter table deliveries add column late bigint not null default 0;
