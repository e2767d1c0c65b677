-- What SESSIONS carries of a closed session. The password stays here: a SIEM that may see it reads the event.
create or replace function session_summary(s sessions) returns table (
    schema integer, sensor text, session text, protocol text, src_ip text, src_port integer, started_at timestamptz, ended_at timestamptz,
    duration_ms bigint, close_reason text, client_version text, hassh text, username text, event_count bigint, login_attempts bigint,
    login_successes bigint, command_count bigint, download_count bigint, upload_count bigint, forward_count bigint, bytes bigint
) language sql stable as $$
    select 1, s.sensor, s.session, s.protocol, host(s.src_ip), s.src_port, s.started_at, s.ended_at, s.duration_ms, s.close_reason, s.client_version,
        s.hassh, s.username, s.event_count, s.login_attempts, s.login_successes, s.command_count, s.download_count, s.upload_count, s.forward_count, s.bytes
$$;
