-- The functions that side rows are made of, without what Postgres forbids in a parallel query, and true to what the columns promise.
-- Then the rows that 0002 made: those that come out otherwise now are made again.

-- An integer of 32 bits, or a text that holds one.
create or replace function json_int(value jsonb) returns integer language sql immutable parallel safe as $$
    select case when value #>> '{}' ~ '^-?[0-9]{1,10}$' then
        case when (value #>> '{}')::bigint between -2147483648 and 2147483647 then (value #>> '{}')::integer end
    end
$$;

-- An address; null when the text is none. As events.src_ip: IPv4-mapped IPv6 is IPv4, a zone id is dropped, 01.2.3.4 is no address.
-- Not parallel safe: only an exception says whether a text is an address, and a parallel query must not catch any.
create or replace function text_inet(value text) returns inet language plpgsql immutable parallel unsafe as $$
declare
    plain text := split_part(value, '%', 1);
    address inet;
begin
    if plain !~ '^([0-9a-fA-F:]+:)?([0-9]{1,3}\.){3}[0-9]{1,3}$' and plain !~ '^[0-9a-fA-F]*:[0-9a-fA-F:]{1,44}$' or plain ~ '(^|[:.])0[0-9]+\.|\.0[0-9]+$' then
        return null;
    end if;
    address := plain::inet;
    return case when family(address) = 6 and address <<= '::ffff:0:0/96' then substr(host(address), 8)::inet else address end;
exception when others then
    return null;
end $$;
alter function forwards_of(events) parallel unsafe;

-- The text that a Python repr of bytes or of a string stands for (b'GET / HTTP/1.1\r\n'): `\xNN` and the short escapes undone, the bytes read as
-- UTF-8, each byte that is none as U+FFFD, and so U+0000. Any other text as it is. The long alternatives are the well-formed sequences.
create or replace function python_text(value text) returns text language sql immutable parallel safe as $$
    select case when inside is null then value else coalesce((
        select string_agg(case
            when length(m[1]) > 4 and m[1] ~ '^\\x[c-f]' then convert_from(decode(replace(m[1], '\x', ''), 'hex'), 'UTF8')
            when m[1] = '\x00' or m[1] ~ '^\\x[89a-f]' then U&'\FFFD'
            when m[1] ~ '^\\x' then convert_from(decode(substr(m[1], 3), 'hex'), 'UTF8')
            when m[1] = '\n' then E'\n'
            when m[1] = '\r' then E'\r'
            when m[1] = '\t' then E'\t'
            when m[1] in ('\\', '\''', '\"') then substr(m[1], 2)
            else m[1]
        end, '' order by n)
        from regexp_matches(inside, '(' ||
            '\\x(?:c[2-9a-f]|d[0-9a-f])\\x[89ab][0-9a-f]|' ||
            '\\x(?:e0\\x[ab][0-9a-f]|e[1-9abcef]\\x[89ab][0-9a-f]|ed\\x[89][0-9a-f])\\x[89ab][0-9a-f]|' ||
            '\\x(?:f0\\x[9ab][0-9a-f]|f[123]\\x[89ab][0-9a-f]|f4\\x8[0-9a-f])\\x[89ab][0-9a-f]\\x[89ab][0-9a-f]|' ||
            '\\x[0-9a-f]{2}|\\[nrt\\''"]|[^\\]+|\\)', 'g') with ordinality as t (m, n)), '') end
    from (select coalesce(substring(value from '^[bu]?''(.*)''$'), substring(value from '^[bu]?"(.*)"$')) as inside) i
$$;
drop function python_bytes(text, boolean);

-- Rows again, where they come out otherwise.
insert into forwards select s.* from events e, forwards_of(e) s where e.eventid like 'cowrie.%tcpip.%'
on conflict (event_id) do update set dst_ip = excluded.dst_ip, dst_port = excluded.dst_port, claimed_ip = excluded.claimed_ip,
    claimed_port = excluded.claimed_port, new_port = excluded.new_port, data = excluded.data
where (forwards.dst_ip, forwards.dst_port, forwards.claimed_ip, forwards.claimed_port, forwards.new_port, forwards.data)
    is distinct from (excluded.dst_ip, excluded.dst_port, excluded.claimed_ip, excluded.claimed_port, excluded.new_port, excluded.data);
insert into client_fingerprints select s.* from events e, client_fingerprints_of(e) s where e.eventid = 'cowrie.client.size'
on conflict (event_id) do update set width = excluded.width, height = excluded.height
where (client_fingerprints.width, client_fingerprints.height) is distinct from (excluded.width, excluded.height);

-- Events that were there before `unknown_count` was: the ids that Cowrie is known to write today (events/known.rs has the list that grows).
-- Nobody adds to a sensor meanwhile. What retention dropped is counted already, or never will be.
lock table sensors in share row exclusive mode;
update sensors s set unknown_count = greatest(s.unknown_count, u.n)
from (
    select sensor, count(*) as n from events
    where eventid !~ '^KIPP00(0[1-9]|1[0-3])$'
        and eventid !~ '^cowrie\.(abuseipdb|threatjammer|backend_pool)\.[^.]*$'
        and eventid !~ ('^cowrie\.(session\.(connect|closed|params|input|file_download|file_upload|file_download\.failed)|login\.(success|failed)'
            || '|command\.(input|failed|success|chpasswd)|client\.(version|kex|fingerprint|size|var|malformed_packet)|log\.(open|closed)'
            || '|direct-tcpip\.(request|data|redirect|tunnel|ja4|ja4h)|tunnelproxy-tcpip\.data|telnet\.(option|exploit_attempt|exploit_success|error)'
            || '|proxy\.(client_disconnect|ssh|backend_connected|backend_disconnected|backend_connect_error)|virustotal\.(scanfile|scanurl)'
            || '|reversedns\.(connect|forward)|greynoise\.result|urlhaus\.submitted)$')
    group by sensor
) u
where s.sensor = u.sensor and s.unknown_count < u.n;
