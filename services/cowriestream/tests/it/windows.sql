-- Compares windows with a recomputation from events.payload. Before it: temp table normal (input, key), and setseed.
-- Prints, for each dimension: comparisons that were not zero; then every difference.
create temp table o as
select e.sensor, e.session, e.eventid, e.ts, e.length, k.dimension, coalesce(n.key, k.key) as key, host(e.src_ip) as src_ip,
    case when e.eventid in ('cowrie.login.success', 'cowrie.login.failed')
        then credential_key(json_text(e.payload -> 'username'), json_text(e.payload -> 'password')) end as credential
from events e cross join lateral event_keys(e) k
left join normal n on k.dimension = 'command' and n.input = e.payload ->> 'input';
create index on o (dimension, key, ts);
analyze o;

create temp table q as
select dimension, key, span, ts + random() * (span - interval '1 minute') as at
from (
    select dimension, key, ts, row_number() over (partition by dimension order by random()) as place,
        (array['1 minute', '5 minutes', '37 minutes', '1 hour', '24 hours', '3 days 7 minutes', '7 days', '30 days', '90 days'])[1 + floor(random() * 9)::int]::interval as span
    -- Twice: of a rare dimension there may be fewer than twenty events.
    from o, generate_series(1, 2)
) k
where place <= 40;

create temp table r as
select q.*, b.grain, b.from_at, b.to_at,
    (w.events, w.sessions, w.logins_failed, w.logins_succeeded, w.commands, w.downloads, w.bytes, w.first_seen, w.last_seen,
        w.distinct_src_ips, w.distinct_sensors, w.distinct_sessions, w.distinct_credentials)::text as answer,
    (x.events, x.sessions, x.logins_failed, x.logins_succeeded, x.commands, x.downloads, x.bytes, x.first_seen, x.last_seen,
        x.src_ips, x.sensors, x.sessions_seen, x.credentials)::text as recomputed,
    array(select distinct h from window_panes(q.dimension, q.key, b.from_at, b.to_at) p, unnest(p.session_ids) h order by h limit 1024) as sketch,
    array(select distinct sketch_hash(o.sensor || '/' || o.session) as h from o
        where o.dimension = q.dimension and o.key = q.key and o.ts >= b.from_at and o.ts < b.to_at and o.session is not null order by h limit 1024) as resketched,
    x.events
from q, window_bounds(q.span, q.at) b, window_features(q.dimension, q.key, q.span, q.at) w, lateral (
    select count(*) as events, count(*) filter (where eventid = 'cowrie.session.connect') as sessions,
        count(*) filter (where eventid = 'cowrie.login.failed') as logins_failed, count(*) filter (where eventid = 'cowrie.login.success') as logins_succeeded,
        count(*) filter (where eventid = 'cowrie.command.input') as commands, count(*) filter (where eventid = 'cowrie.session.file_download') as downloads,
        coalesce(sum(length), 0)::bigint as bytes, min(ts) as first_seen, max(ts) as last_seen,
        count(distinct src_ip) as src_ips, count(distinct sensor) as sensors,
        count(distinct (sensor, session)) filter (where session is not null) as sessions_seen, count(distinct credential) as credentials
    from o where o.dimension = q.dimension and o.key = q.key and o.ts >= b.from_at and o.ts < b.to_at
) x;
select d.dimension || '|' || count(r) filter (where r.events > 0) from unnest(enum_range(null::pane_dimension)) d (dimension) left join r using (dimension) group by d.dimension order by d.dimension;
select 'wrong|' || dimension || '|' || key || '|' || span || '|' || at || '|' || grain || '|' || answer || '|' || recomputed from r where answer <> recomputed or sketch <> resketched limit 20;
-- A window is as asked for, but where minutes were dropped.
select 'bounds|' || dimension || '|' || span || '|' || at || '|' || from_at from r
where grain = 'minute' and (to_at - from_at <> span or to_at < at or to_at >= at + interval '1 minute')
    or grain = 'hour' and (from_at > at - span + interval '1 minute' or from_at < at - span - interval '1 hour' or to_at < at or to_at > at + interval '1 hour')
    or grain = 'day' and (from_at > at - span + interval '1 minute' or from_at < at - span - interval '1 day' or to_at < at or to_at > at + interval '1 day');
-- Each event in exactly one row that is not covered, and in one of each finer grain below.
select 'rows|' || (select sum(events) from feature_panes where dimension = 'all' and not covered) || '|' || count(*) from events
having count(*) <> (select sum(events) from feature_panes where dimension = 'all' and not covered);
