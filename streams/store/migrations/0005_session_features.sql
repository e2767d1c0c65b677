-- What analyses know of a session: one row per session that has ended, a pure function of its events (events::features says how). Written in the
-- transaction that ends the session, written anew by every event that comes later, deleted when a late event opens the session again.
create table session_features (
    sensor text not null,
    session text not null,
    -- of the definition (events::features::VERSION); `cowriestream backfill` brings older rows up to it
    version smallint not null,
    -- what element n means: feature_elements. Of the first 10 000 events of the session
    vector real[] not null,
    -- 1-, 2- and 3-grams of normalised commands, hashed into 64 buckets, of length 1; null without commands
    profile real[],
    -- of the normalised commands; sessions with the same one did the same. See command_sequences; null without commands
    sequence bytea,
    primary key (sensor, session)
);
create index session_features_sequence on session_features (sequence) where sequence is not null;

-- The sequences of normalised commands. A row stays when the last session that typed it is gone.
create table command_sequences (
    -- 128 bits of BLAKE3 over the length-prefixed normalised commands
    sequence bytea primary key,
    -- of the normalisation (events::normal::VERSION)
    version smallint not null,
    -- how many commands
    length integer not null,
    -- the first of them, one a line: at most 200 and 32 KiB
    commands text not null
);

-- The elements of session_features.vector, by version of the definition.
create table feature_elements (
    version smallint not null,
    -- from 1
    position integer not null,
    name text not null,
    -- of the number x before scaling
    unit text not null,
    scaling text not null,
    primary key (version, position),
    unique (version, name)
);
insert into feature_elements values
    (1, 1, 'duration', 's, as session.closed says, else from the first to the last event', 'ln(1 + x)'),
    (1, 2, 'events', 'events', 'ln(1 + x)'),
    (1, 3, 'bytes', 'bytes of log lines', 'ln(1 + x)'),
    (1, 4, 'logins_failed', 'events', 'ln(1 + x)'),
    (1, 5, 'logins_succeeded', 'events', 'ln(1 + x)'),
    (1, 6, 'time_to_login', 's from the first event to the first login.success', 'ln(1 + x)'),
    (1, 7, 'usernames', 'distinct', 'ln(1 + x)'),
    (1, 8, 'passwords', 'distinct', 'ln(1 + x)'),
    (1, 9, 'login_interval_median', 's between attempts', 'ln(1 + x)'),
    (1, 10, 'login_interval_variation', 'standard deviation / mean', 'x / (1 + x)'),
    (1, 11, 'password_entropy', 'mean bits a byte', 'x / 8'),
    (1, 12, 'password_is_username', 'share of attempts', 'x'),
    (1, 13, 'keys_offered', 'public keys', 'ln(1 + x)'),
    (1, 14, 'commands', 'command.input', 'ln(1 + x)'),
    (1, 15, 'commands_distinct', 'share of commands, normalised', 'x'),
    (1, 16, 'commands_failed', 'command.failed', 'ln(1 + x)'),
    (1, 17, 'command_length_mean', 'characters, normalised', 'ln(1 + x)'),
    (1, 18, 'command_length_max', 'characters, normalised', 'ln(1 + x)'),
    (1, 19, 'command_entropy', 'mean bits a byte, as typed', 'x / 8'),
    (1, 20, 'time_to_command', 's from the first login.success, else the first event', 'ln(1 + x)'),
    (1, 21, 'command_interval_median', 's between commands', 'ln(1 + x)'),
    (1, 22, 'command_interval_p90', 's between commands', 'ln(1 + x)'),
    (1, 23, 'command_interval_variation', 'standard deviation / mean', 'x / (1 + x)'),
    (1, 24, 'downloads', 'session.file_download', 'ln(1 + x)'),
    (1, 25, 'downloads_failed', 'session.file_download.failed', 'ln(1 + x)'),
    (1, 26, 'uploads', 'session.file_upload', 'ln(1 + x)'),
    (1, 27, 'files', 'distinct SHA-256', 'ln(1 + x)'),
    (1, 28, 'forwards', 'direct-tcpip.request', 'ln(1 + x)'),
    (1, 29, 'forward_targets', 'distinct', 'ln(1 + x)'),
    (1, 30, 'forward_data', 'direct-tcpip.data', 'ln(1 + x)'),
    (1, 31, 'telnet', '1 or 0', 'x'),
    (1, 32, 'terminal', '1 when the size of a terminal was told', 'x'),
    (1, 33, 'client_openssh', '1 for the family of the client, else 0', 'x'),
    (1, 34, 'client_putty', '1 for the family of the client, else 0', 'x'),
    (1, 35, 'client_libssh2', '1 for the family of the client, else 0', 'x'),
    (1, 36, 'client_libssh', '1 for the family of the client, else 0', 'x'),
    (1, 37, 'client_paramiko', '1 for the family of the client, else 0', 'x'),
    (1, 38, 'client_go', '1 for the family of the client, else 0', 'x'),
    (1, 39, 'client_java', '1 for the family of the client, else 0', 'x'),
    (1, 40, 'client_dotnet', '1 for the family of the client, else 0', 'x'),
    (1, 41, 'client_dropbear', '1 for the family of the client, else 0', 'x'),
    (1, 42, 'client_python', '1 for the family of the client, else 0', 'x'),
    (1, 43, 'client_scanner', '1 for the family of the client, else 0', 'x'),
    (1, 44, 'client_other', '1 for the family of the client, else 0', 'x'),
    (1, 45, 'client_none', '1 for the family of the client, else 0', 'x'),
    (1, 46, 'hassh_0', '1 for the bucket of the hassh, else 0', 'x'),
    (1, 47, 'hassh_1', '1 for the bucket of the hassh, else 0', 'x'),
    (1, 48, 'hassh_2', '1 for the bucket of the hassh, else 0', 'x'),
    (1, 49, 'hassh_3', '1 for the bucket of the hassh, else 0', 'x'),
    (1, 50, 'hassh_4', '1 for the bucket of the hassh, else 0', 'x'),
    (1, 51, 'hassh_5', '1 for the bucket of the hassh, else 0', 'x'),
    (1, 52, 'hassh_6', '1 for the bucket of the hassh, else 0', 'x'),
    (1, 53, 'hassh_7', '1 for the bucket of the hassh, else 0', 'x'),
    (1, 54, 'hassh_8', '1 for the bucket of the hassh, else 0', 'x'),
    (1, 55, 'hassh_9', '1 for the bucket of the hassh, else 0', 'x'),
    (1, 56, 'hassh_10', '1 for the bucket of the hassh, else 0', 'x'),
    (1, 57, 'hassh_11', '1 for the bucket of the hassh, else 0', 'x'),
    (1, 58, 'hassh_12', '1 for the bucket of the hassh, else 0', 'x'),
    (1, 59, 'hassh_13', '1 for the bucket of the hassh, else 0', 'x'),
    (1, 60, 'hassh_14', '1 for the bucket of the hassh, else 0', 'x'),
    (1, 61, 'hassh_15', '1 for the bucket of the hassh, else 0', 'x');

-- An element by its name; null when there is none.
create function feature(f session_features, of_name text) returns real language sql stable as $$
    select f.vector[e.position] from feature_elements e where e.version = f.version and e.name = of_name
$$;

-- How far the sessions that had ended before a definition came were looked at; the leader goes on from there.
create table features_backfill (
    version smallint primary key,
    -- the last session looked at, in the order of the primary key of `sessions`
    sensor text not null default '',
    session text not null default '',
    finished_at timestamptz
);
