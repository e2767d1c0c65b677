-- Side tables: one row per event of some kinds, for questions that should not dig in JSON. A row is a pure function of its event:
-- `<table>_of(event)` says what it holds, the processor inserts it with the event, and `verify` compares the two.
-- Columns that all have: event_id, sensor, session, ts and src_ip as in `events`. Texts are as logged (U+0000 stands as U+FFFD); where Cowrie
-- should have logged a text and logged something else, its JSON stands there. A number or truth value that is none is null.

-- An integer, or a text that holds one, within 9 digits.
create function json_int(value jsonb) returns integer language sql immutable parallel safe as $$
    select case when value #>> '{}' ~ '^-?[0-9]{1,9}$' then (value #>> '{}')::integer end
$$;

-- true, false, "true", "false".
create function json_bool(value jsonb) returns boolean language sql immutable parallel safe as $$
    select case value #>> '{}' when 'true' then true when 'false' then false end
$$;

-- The elements of an array.
create function json_texts(value jsonb) returns text[] language sql immutable parallel safe as $$
    select case when jsonb_typeof(value) = 'array' then array(select t from jsonb_array_elements_text(value) with ordinality as e (t, n) order by n) end
$$;

-- (What catches errors needs a subtransaction, which a parallel query has none of: those functions are parallel unsafe.)
-- An address; null when the text is none. IPv4-mapped IPv6 is IPv4.
create function text_inet(value text) returns inet language plpgsql immutable parallel unsafe as $$
declare
    plain text := regexp_replace(value, '^::ffff:([0-9]+\.[0-9]+\.[0-9]+\.[0-9]+)$', '\1', 'i');
begin
    if plain !~ '^([0-9]{1,3}\.){3}[0-9]{1,3}$' and (plain !~ '^[0-9a-fA-F:.]{2,45}$' or plain !~ ':') then
        return null;
    end if;
    return plain::inet;
exception when others then
    return null;
end $$;

-- What stands inside a Python repr, as bytes: `\xNN` and the short escapes undone; `lossy` puts U+FFFD for each byte that is not ASCII.
create function python_bytes(inside text, lossy boolean) returns bytea language sql immutable parallel safe as $$
    select coalesce(string_agg(case
        when m[1] = '\x00' then '\xefbfbd'::bytea
        when m[1] ~ '^\\x[89a-f]' and lossy then '\xefbfbd'::bytea
        when m[1] ~ '^\\x' then decode(substr(m[1], 3), 'hex')
        when m[1] = '\n' then '\x0a'::bytea
        when m[1] = '\r' then '\x0d'::bytea
        when m[1] = '\t' then '\x09'::bytea
        when m[1] in ('\\', '\''', '\"') then convert_to(substr(m[1], 2), 'UTF8')
        else convert_to(m[1], 'UTF8')
    end, ''::bytea order by n), ''::bytea)
    from regexp_matches(inside, '(\\x[0-9a-f]{2}|\\[nrt\\''"]|[^\\]+|\\)', 'g') with ordinality as t (m, n)
$$;

-- The text that a Python repr of bytes or of a string stands for (b'GET / HTTP/1.1\r\n'), read as UTF-8; any other text as it is.
create function python_text(value text) returns text language plpgsql immutable parallel unsafe as $$
declare
    inside text := substring(value from '^[bu]?''(.*)''$');
begin
    inside := coalesce(inside, substring(value from '^[bu]?"(.*)"$'));
    if inside is null then
        return value;
    end if;
    begin
        return convert_from(python_bytes(inside, false), 'UTF8');
    exception when others then
        return convert_from(python_bytes(inside, true), 'UTF8');
    end;
end $$;

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
