with due as (
    select s.sensor, s.session
    from sessions s
    join sensors n on n.sensor = s.sensor
    where not s.closed and not s.idle
        and (s.last_event_at is null or s.last_event_at < n.last_event_at - interval '1 hour')
    order by s.sensor, s.session
    limit $1
    for update of s skip locked
),
swept as (
    update sessions s set idle = true
    from due
    where s.sensor = due.sensor and s.session = due.session
    returning s.*
),
queued as (
    insert into outbox (subject, msg_id, payload)
    select 'cowrie.sessions.' || swept.sensor, session_summary_id(swept.sensor, swept.session, swept.event_count), to_json(summary)
    from swept, session_summary(swept::sessions) summary
    on conflict (msg_id) do nothing
)
select sensor as "sensor!", session as "session!" from swept
