-- Side tables: one row per event of some kinds, for questions that should not dig in JSON. A row is a pure function of its event:
-- `<table>_of(event)` says what it holds, the processor inserts it with the event, and `verify` compares the two.
-- Columns that all have: event_id, sensor, session, ts and src_ip as in `events`. Texts are as logged (U+0000 stands as U+FFFD); where Cowrie
-- should have logged a text and logged something else, its JSON stands there. A number or truth value that is none is null.

-- An integer of 32 bits, or a text that holds one.
create function json_int(value jsonb) returns integer language sql immutable parallel safe as $$
    select case when value #>> '{}' ~ '^-?[0-9]{1,10}$' then
        case when (value #>> '{}')::bigint between -2147483648 and 2147483647 then (value #>> '{}')::integer end
    end
$$;

-- true, false, "true", "false".
create function json_bool(value jsonb) returns boolean language sql immutable parallel safe as $$
    select case value #>> '{}' when 'true' then true when 'false' then false end
$$;

-- The elements of an array.
create function json_texts(value jsonb) returns text[] language sql immutable parallel safe as $$
    select case when jsonb_typeof(value) = 'array' then array(select t from jsonb_array_elements_text(value) with ordinality as e (t, n) order by n) end
$$;

-- An address; null when the text is none. As events.src_ip: IPv4-mapped IPv6 is IPv4, a zone id is dropped, 01.2.3.4 is no address.
-- Not parallel safe: only an exception says whether a text is an address, and a parallel query must not catch any.
create function text_inet(value text) returns inet language plpgsql immutable parallel unsafe as $$
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

-- The text that a Python repr of bytes or of a string stands for (b'GET / HTTP/1.1\r\n'): `\xNN` and the short escapes undone, the bytes read as
-- UTF-8, each byte that is none as U+FFFD, and so U+0000. Any other text as it is. The long alternatives are the well-formed sequences.
create function python_text(value text) returns text language sql immutable parallel safe as $$
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

-- What attackers typed, and what became of it: command.input is followed by command.success or command.failed for its parts.
create table commands (
    event_id uuid primary key,
    sensor text not null,
    session text,
    ts timestamptz not null,
    src_ip inet,
    -- input | success | failed | chpasswd | … : what follows cowrie.command.; stdin for session.input
    kind text not null,
    input text,
    -- the command that read the line from its input
    realm text,
    -- of chpasswd
    username text
);
create function commands_of(e events) returns setof commands language sql immutable parallel safe as $$
    select e.event_id, e.sensor, e.session, e.ts, e.src_ip,
        case when e.eventid = 'cowrie.session.input' then 'stdin' else substr(e.eventid, 16) end,
        e.payload ->> 'input', e.payload ->> 'realm', e.payload ->> 'username'
    where e.eventid like 'cowrie.command.%' or e.eventid = 'cowrie.session.input'
$$;

-- login.success and login.failed.
create table login_attempts (
    event_id uuid primary key,
    sensor text not null,
    session text,
    ts timestamptz not null,
    src_ip inet,
    success boolean not null,
    username text,
    -- null when a public key was offered
    password text,
    -- of a public key
    fingerprint text,
    key text,
    key_type text
);
create function login_attempts_of(e events) returns setof login_attempts language sql immutable parallel safe as $$
    select e.event_id, e.sensor, e.session, e.ts, e.src_ip, e.eventid = 'cowrie.login.success',
        e.payload ->> 'username', e.payload ->> 'password', e.payload ->> 'fingerprint', e.payload ->> 'key', e.payload ->> 'type'
    where e.eventid in ('cowrie.login.success', 'cowrie.login.failed')
$$;

-- Files that came in.
create table downloads (
    event_id uuid primary key,
    sensor text not null,
    session text,
    ts timestamptz not null,
    src_ip inet,
    -- download (session.file_download) | failed (session.file_download.failed) | upload (session.file_upload)
    kind text not null,
    -- absent for what was captured from stdin or a redirect
    url text,
    -- SHA-256, hex
    shasum text,
    -- where Cowrie keeps it
    outfile text,
    -- where the attacker put it
    destfile text,
    filename text,
    -- Cowrie had it already; of 2018, the opposite of `unique`
    duplicate boolean,
    error text
);
create function downloads_of(e events) returns setof downloads language sql immutable parallel safe as $$
    select e.event_id, e.sensor, e.session, e.ts, e.src_ip,
        case e.eventid when 'cowrie.session.file_download' then 'download' when 'cowrie.session.file_upload' then 'upload' else 'failed' end,
        e.payload ->> 'url', e.payload ->> 'shasum', e.payload ->> 'outfile', e.payload ->> 'destfile', e.payload ->> 'filename',
        coalesce(json_bool(e.payload -> 'duplicate'), not json_bool(e.payload -> 'unique')), e.payload ->> 'error'
    where e.eventid in ('cowrie.session.file_download', 'cowrie.session.file_download.failed', 'cowrie.session.file_upload')
$$;

-- What attackers wanted to reach through the honeypot (direct-tcpip.*, tunnelproxy-tcpip.data).
create table forwards (
    event_id uuid primary key,
    sensor text not null,
    session text,
    ts timestamptz not null,
    src_ip inet,
    -- request | data | redirect | tunnel | ja4 | ja4h | … : what follows cowrie.direct-tcpip.; tunnelproxy-data
    kind text not null,
    -- the target as the attacker named it: a host name, an address, anything
    dst_host text,
    -- null when dst_host is no address
    dst_ip inet,
    dst_port integer,
    -- the origin that the client claims: orig_ip and orig_port; before Cowrie 3.0.6 only src_port
    claimed_ip inet,
    claimed_port integer,
    -- where Cowrie sent it instead
    new_host text,
    new_port integer,
    -- what was sent, the Python repr undone
    data text,
    ja4 text,
    ja4h text
);
-- Parallel unsafe, as text_inet is.
create function forwards_of(e events) returns setof forwards language sql immutable parallel unsafe as $$
    select e.event_id, e.sensor, e.session, e.ts, e.src_ip,
        case when e.eventid = 'cowrie.tunnelproxy-tcpip.data' then 'tunnelproxy-data' else substr(e.eventid, 21) end,
        e.payload ->> 'dst_ip', text_inet(e.payload ->> 'dst_ip'), json_int(e.payload -> 'dst_port'),
        text_inet(e.payload ->> 'orig_ip'),
        case when e.payload ? 'orig_port' then json_int(e.payload -> 'orig_port')
            when e.eventid in ('cowrie.direct-tcpip.request', 'cowrie.direct-tcpip.redirect', 'cowrie.direct-tcpip.tunnel') then json_int(e.payload -> 'src_port') end,
        e.payload ->> 'new_ip', json_int(e.payload -> 'new_port'), python_text(e.payload ->> 'data'), e.payload ->> 'ja4', e.payload ->> 'ja4h'
    where e.eventid like 'cowrie.direct-tcpip.%' or e.eventid = 'cowrie.tunnelproxy-tcpip.data'
$$;

-- What clients reveal of themselves.
create table client_fingerprints (
    event_id uuid primary key,
    sensor text not null,
    session text,
    ts timestamptz not null,
    src_ip inet,
    -- version | kex | size | var | key (client.fingerprint: a public key offered)
    kind text not null,
    -- without the Python repr quotes of some Cowrie versions, as sessions.client_version
    version text,
    -- MD5 of the algorithms; `client_fingerprint` in Cowrie 1.4
    hassh text,
    hassh_algorithms text,
    -- of kex; until Cowrie 1.3 of version
    kex_algs text[],
    key_algs text[],
    enc_cs text[],
    mac_cs text[],
    comp_cs text[],
    lang_cs text[],
    -- of the terminal
    width integer,
    height integer,
    -- of an environment variable
    name text,
    value text,
    -- of a public key offered
    username text,
    fingerprint text,
    key text,
    key_type text
);
create function client_fingerprints_of(e events) returns setof client_fingerprints language sql immutable parallel safe as $$
    select e.event_id, e.sensor, e.session, e.ts, e.src_ip,
        case when e.eventid = 'cowrie.client.fingerprint' then 'key' else substr(e.eventid, 15) end,
        regexp_replace(e.payload ->> 'version', '^b?([''"])(.*)\1$', '\2'), coalesce(e.payload ->> 'hassh', e.payload ->> 'client_fingerprint'),
        e.payload ->> 'hasshAlgorithms', json_texts(e.payload -> 'kexAlgs'), json_texts(e.payload -> 'keyAlgs'), json_texts(e.payload -> 'encCS'),
        json_texts(e.payload -> 'macCS'), json_texts(e.payload -> 'compCS'), json_texts(e.payload -> 'langCS'),
        json_int(e.payload -> 'width'), json_int(e.payload -> 'height'), e.payload ->> 'name', e.payload ->> 'value',
        e.payload ->> 'username', e.payload ->> 'fingerprint', e.payload ->> 'key', e.payload ->> 'type'
    where e.eventid in ('cowrie.client.version', 'cowrie.client.kex', 'cowrie.client.size', 'cowrie.client.var', 'cowrie.client.fingerprint')
$$;

-- Events whose id is not among those that Cowrie is known to write: a fork's, a plugin's, a newer version's.
alter table sensors add column unknown_count bigint not null default 0;

-- Indexes, and the rows of the events that are there already.
do $$
declare
    side text;
begin
    foreach side in array array['commands', 'login_attempts', 'downloads', 'forwards', 'client_fingerprints'] loop
        execute format('insert into %I select s.* from events e, %I(e) s', side, side || '_of');
        execute format('create index %I on %I (sensor, session)', side || '_session', side);
        execute format('create index %I on %I using brin (ts)', side || '_ts', side);
    end loop;
end $$;

-- Events that were there before `unknown_count` was: the ids that Cowrie is known to write today (events/known.rs has the list that grows).
update sensors s set unknown_count = u.n
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
where s.sensor = u.sensor;
