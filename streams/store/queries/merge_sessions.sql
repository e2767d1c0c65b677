with merged as (
    insert into sessions as s (
        sensor, session, protocol, protocol_rank, src_ip, src_ip_rank, src_port, src_port_rank, started_at, last_event_at,
        closed, closed_at, reported_duration_ms, reported_duration_rank, client_version, client_version_rank, hassh, hassh_rank,
        username, password, login_rank, event_count, login_attempts, login_successes, command_count, download_count,
        upload_count, forward_count, bytes
    )
    select
        sensor, session, protocol, protocol_rank, src_ip::inet, src_ip_rank, src_port, src_port_rank, started_at, last_event_at,
        closed, closed_at, duration, duration_rank, version, version_rank, hassh, hassh_rank,
        username, password, login_rank, event_count, login_attempts, login_successes, command_count, download_count,
        upload_count, forward_count, bytes
    from unnest(
        $1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::bytea[], $7::int4[], $8::bytea[], $9::timestamptz[], $10::timestamptz[],
        $11::bool[], $12::timestamptz[], $13::int8[], $14::bytea[], $15::text[], $16::bytea[], $17::text[], $18::bytea[],
        $19::text[], $20::text[], $21::bytea[], $22::int8[], $23::int8[], $24::int8[], $25::int8[], $26::int8[],
        $27::int8[], $28::int8[], $29::int8[]
    ) as d (
        sensor, session, protocol, protocol_rank, src_ip, src_ip_rank, src_port, src_port_rank, started_at, last_event_at,
        closed, closed_at, duration, duration_rank, version, version_rank, hassh, hassh_rank,
        username, password, login_rank, event_count, login_attempts, login_successes, command_count, download_count,
        upload_count, forward_count, bytes
    )
    on conflict (sensor, session) do update set
        protocol = case when s.protocol_rank is null or excluded.protocol_rank < s.protocol_rank then excluded.protocol else s.protocol end,
        protocol_rank = least(s.protocol_rank, excluded.protocol_rank),
        src_ip = case when s.src_ip_rank is null or excluded.src_ip_rank < s.src_ip_rank then excluded.src_ip else s.src_ip end,
        src_ip_rank = least(s.src_ip_rank, excluded.src_ip_rank),
        src_port = case when s.src_port_rank is null or excluded.src_port_rank < s.src_port_rank then excluded.src_port else s.src_port end,
        src_port_rank = least(s.src_port_rank, excluded.src_port_rank),
        started_at = least(s.started_at, excluded.started_at),
        last_event_at = greatest(s.last_event_at, excluded.last_event_at),
        closed = s.closed or excluded.closed,
        closed_at = greatest(s.closed_at, excluded.closed_at),
        reported_duration_ms = case when s.reported_duration_rank is null or excluded.reported_duration_rank < s.reported_duration_rank
            then excluded.reported_duration_ms else s.reported_duration_ms end,
        reported_duration_rank = least(s.reported_duration_rank, excluded.reported_duration_rank),
        -- a late event takes the sweep's verdict back; the next sweep judges again
        idle = false,
        client_version = case when s.client_version_rank is null or excluded.client_version_rank < s.client_version_rank
            then excluded.client_version else s.client_version end,
        client_version_rank = least(s.client_version_rank, excluded.client_version_rank),
        hassh = case when s.hassh_rank is null or excluded.hassh_rank < s.hassh_rank then excluded.hassh else s.hassh end,
        hassh_rank = least(s.hassh_rank, excluded.hassh_rank),
        username = case when s.login_rank is null or excluded.login_rank < s.login_rank then excluded.username else s.username end,
        password = case when s.login_rank is null or excluded.login_rank < s.login_rank then excluded.password else s.password end,
        login_rank = least(s.login_rank, excluded.login_rank),
        event_count = s.event_count + excluded.event_count,
        login_attempts = s.login_attempts + excluded.login_attempts,
        login_successes = s.login_successes + excluded.login_successes,
        command_count = s.command_count + excluded.command_count,
        download_count = s.download_count + excluded.download_count,
        upload_count = s.upload_count + excluded.upload_count,
        forward_count = s.forward_count + excluded.forward_count,
        bytes = s.bytes + excluded.bytes
    returning s.*
),
queued as (
    insert into outbox (subject, msg_id, payload)
    select 'cowrie.sessions.' || merged.sensor, session_summary_id(merged.sensor, merged.session, merged.event_count), to_json(summary)
    from merged, session_summary(merged::sessions) summary
    where merged.closed
    order by merged.sensor, merged.session
    on conflict (msg_id) do nothing
)
select sensor as "sensor!", session as "session!", event_count as "event_count!", closed as "closed!" from merged
