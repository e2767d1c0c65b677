#!/usr/bin/env python3
"""Rebuilds what Postgres should hold from the log files alone, and compares every column.

Written from the schema's comments, not from the Rust code: it must not share a mistake with it.
Needs psycopg and blake3. Exit status 0: no difference.
"""

import argparse
import ast
import codecs
import collections
import datetime
import decimal
import gzip
import ipaddress
import json
import re
import struct
import sys
import uuid
import zlib

import blake3
import psycopg

MAX_LINE = 1_048_576 - 16_384
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
WHITE = b" \t\n\x0b\x0c\r"


def digest(tag, sensor, rest):
    """128 bits of BLAKE3 over a tag, the length-prefixed sensor and the rest."""
    name = sensor.encode()
    return uuid.UUID(bytes=blake3.blake3(tag + struct.pack("<Q", len(name)) + name + rest).digest()[:16])


def contents(path):
    """The bytes of a plain or gzip file; an archive that was cut off ends there."""
    data = open(path, "rb").read()
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        return gzip.decompress(data)
    except EOFError:
        return zlib.decompressobj(31).decompress(data)


def storable(value):
    """The value with what jsonb cannot hold replaced: U+0000 and lone surrogates."""
    if isinstance(value, str):
        return re.sub("[\0\ud800-\udfff]", "\ufffd", value)
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    return value


def refuse(name):
    raise ValueError(f"{name} is not JSON")


def parse(line):
    """The event of a line with whether jsonb gives it back; None when it is no event."""
    repeated = False

    def pairs(items):
        nonlocal repeated
        found = dict(items)
        repeated = len(found) < len(items)  # the outermost object comes last
        return found

    try:
        value = json.loads(line.decode("utf-8"), parse_constant=refuse, parse_float=decimal.Decimal, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not isinstance(value.get("eventid"), str) or not value["eventid"]:
        return None
    clean = storable(value)
    return clean, clean == value and not repeated


def moment(text):
    """A timestamp as microseconds since 1970; None when unreadable or outside 2015-2099."""
    form = r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):?(\d\d))"
    match = re.fullmatch(form, text, re.ASCII) if isinstance(text, str) else None
    if not match:
        return None
    year, month, day, hour, minute, second, fraction, sign, zone_h, zone_m = match.groups()
    try:
        at = datetime.datetime(*map(int, (year, month, day, hour, minute, second)), tzinfo=datetime.timezone.utc)
    except ValueError:
        return None
    micros = (at - EPOCH) // datetime.timedelta(seconds=1) * 1_000_000 + int((fraction or "0").ljust(9, "0")[:6])
    if sign:
        if int(zone_h) > 23 or int(zone_m) > 59:
            return None
        offset = (int(zone_h) * 3600 + int(zone_m) * 60) * 1_000_000
        micros += -offset if sign == "+" else offset
    year = (EPOCH + datetime.timedelta(microseconds=micros)).year
    return micros if 2015 <= year <= 2099 else None


def address(text):
    """An address as Postgres prints it, or None."""
    try:
        found = ipaddress.ip_address(text.split("%")[0])
    except (ValueError, AttributeError):
        return None
    return str(getattr(found, "ipv4_mapped", None) or found)


def filled(value):
    return value if isinstance(value, str) and value else None


def text(value):
    return value if isinstance(value, str) else None


def without_repr(version):
    match = re.fullmatch(r"b?(['\"])(.*)\1", version, re.DOTALL)
    return match.group(2) if match else version


def duration_ms(event):
    """Milliseconds from duration_ms, or from duration in seconds; None when unreadable."""
    for key, factor in (("duration_ms", 1), ("duration", 1000)):
        value = event.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, str, decimal.Decimal)):
            continue
        try:
            number = decimal.Decimal(str(value).strip()) * factor
        except decimal.InvalidOperation:
            continue
        if number.is_finite() and 0 <= number <= 10**15:
            return int(number.to_integral_value(decimal.ROUND_HALF_UP))
    return None


def as_text(value):
    """A string; anything else as Postgres prints its JSON; None for null and absent."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def whole(value):
    """An integer of 32 bits, or a string of one."""
    if isinstance(value, bool) or not re.fullmatch("-?[0-9]{1,10}", str(value), re.ASCII):
        return None
    return int(value) if -(2**31) <= int(value) < 2**31 else None


def truth(value):
    return {True: True, False: False, "true": True, "false": False}.get(value) if isinstance(value, (bool, str)) else None


def texts(value):
    return [as_text(item) for item in value] if isinstance(value, list) else None


def unrepr(value):
    """The text that a Python repr stands for."""
    if not isinstance(value, str) or not re.fullmatch(r"[bu]?('.*'|\".*\")", value, re.DOTALL):
        return value
    try:
        found = ast.literal_eval(value if value[0] in "b'\"" else value[1:])
    except (ValueError, SyntaxError):
        return SKIP
    if isinstance(found, str):
        # Python 2 wrote bytes like this.
        found = found.encode("latin-1", "replace")
    return found.decode("utf-8", "each").replace("\0", "\ufffd")


# Each byte that is no UTF-8 stands as one U+FFFD.
codecs.register_error("each", lambda error: ("\ufffd" * (error.end - error.start), error.end))

# A value that this program cannot judge.
SKIP = object()

KNOWN = set(
    """session.connect session.closed session.params session.input session.file_download session.file_download.failed session.file_upload
    login.success login.failed command.input command.failed command.success command.chpasswd client.version client.kex client.fingerprint
    client.size client.var client.malformed_packet log.open log.closed direct-tcpip.request direct-tcpip.data direct-tcpip.redirect
    direct-tcpip.tunnel direct-tcpip.ja4 direct-tcpip.ja4h tunnelproxy-tcpip.data telnet.option telnet.exploit_attempt telnet.exploit_success
    telnet.error proxy.client_disconnect proxy.ssh proxy.backend_connected proxy.backend_disconnected proxy.backend_connect_error
    virustotal.scanfile virustotal.scanurl reversedns.connect reversedns.forward greynoise.result urlhaus.submitted""".split()
)


def unknown(eventid):
    name = eventid.removeprefix("cowrie.")
    operational = re.fullmatch(r"cowrie\.(abuseipdb|threatjammer|backend_pool)\.[^.]*", eventid)
    return not (operational or re.fullmatch("KIPP00(0[1-9]|1[0-3])", eventid) or (eventid.startswith("cowrie.") and name in KNOWN))


def side_row(event):
    """The side table that an event stands in, and its own columns; None for most events."""
    name = event["eventid"]

    def take(**columns):
        return {column: as_text(event.get(key)) for column, key in columns.items()}

    if name.startswith("cowrie.command.") or name == "cowrie.session.input":
        kind = name.removeprefix("cowrie.command.") if name.startswith("cowrie.command.") else "stdin"
        return "commands", {"kind": kind, **take(input="input", realm="realm", username="username")}
    if name in ("cowrie.login.success", "cowrie.login.failed"):
        row = take(username="username", password="password", fingerprint="fingerprint", key="key", key_type="type")
        return "login_attempts", {"success": name.endswith("success"), **row}
    downloads = {"cowrie.session.file_download": "download", "cowrie.session.file_download.failed": "failed", "cowrie.session.file_upload": "upload"}
    if name in downloads:
        unique = truth(event.get("unique"))
        duplicate = truth(event.get("duplicate"))
        row = take(url="url", shasum="shasum", outfile="outfile", destfile="destfile", filename="filename", error="error")
        return "downloads", {"kind": downloads[name], **row, "duplicate": duplicate if duplicate is not None else None if unique is None else not unique}
    if name.startswith("cowrie.direct-tcpip.") or name == "cowrie.tunnelproxy-tcpip.data":
        kind = name.removeprefix("cowrie.direct-tcpip.") if name.startswith("cowrie.direct-tcpip.") else "tunnelproxy-data"
        claimed = event.get("orig_port") if "orig_port" in event else event.get("src_port") if kind in ("request", "redirect", "tunnel") else None
        return "forwards", {
            "kind": kind,
            **take(dst_host="dst_ip", new_host="new_ip", ja4="ja4", ja4h="ja4h"),
            "dst_ip": address(event.get("dst_ip")),
            "dst_port": whole(event.get("dst_port")),
            "claimed_ip": address(event.get("orig_ip")),
            "claimed_port": whole(claimed),
            "new_port": whole(event.get("new_port")),
            "data": as_text(event.get("data")),
            "python_text(data)": unrepr(as_text(event.get("data"))),
        }
    clients = {"version": "version", "kex": "kex", "size": "size", "var": "var", "fingerprint": "key"}
    kind = clients.get(name.removeprefix("cowrie.client.")) if name.startswith("cowrie.client.") else None
    if kind:
        version = as_text(event.get("version"))
        lists = {"kex_algs": "kexAlgs", "key_algs": "keyAlgs", "enc_cs": "encCS", "mac_cs": "macCS", "comp_cs": "compCS", "lang_cs": "langCS"}
        hassh = as_text(event.get("hassh"))
        return "client_fingerprints", {
            "kind": kind,
            "version": None if version is None else without_repr(version),
            "hassh": hassh if hassh is not None else as_text(event.get("client_fingerprint")),
            **{column: texts(event.get(key)) for column, key in lists.items()},
            "width": whole(event.get("width")),
            "height": whole(event.get("height")),
            **take(hassh_algorithms="hasshAlgorithms", name="name", value="value", username="username", fingerprint="fingerprint", key="key", key_type="type"),
        }
    return None


class Oracle:
    """Everything the files of one sensor say."""

    def __init__(self, sensor):
        self.sensor = sensor
        self.events = {}
        self.dead = {}
        self.bytes = collections.Counter()

    def read(self, path):
        data = contents(path)
        self.bytes["bytes"] += len(data)
        pieces = data.split(b"\n")
        for number, piece in enumerate(pieces):
            ended = number < len(pieces) - 1
            if not ended and not piece:
                continue
            started = piece.lstrip(b"\0")
            self.bytes["skipped_bytes"] += len(piece) - len(started)
            line, size = started.replace(b"\0", b""), len(started) + ended
            if not line.strip(WHITE):
                self.bytes["skipped_bytes"] += size
                continue
            parsed = parse(line) if len(line) <= MAX_LINE else None
            self.bytes["event_bytes" if parsed else "dead_bytes"] += size
            if parsed:
                self.events[digest(b"cowriestream event v1", self.sensor, line)] = (*parsed, line)
            else:
                self.dead[digest(b"cowriestream dead v1", self.sensor, blake3.blake3(line).digest())] = line

    def event_rows(self):
        for key, (event, exact, line) in self.events.items():
            yield key, {
                "session": filled(event.get("session")),
                "eventid": event["eventid"],
                "ts": moment(event.get("timestamp")),
                "src_ip": address(event.get("src_ip")),
                "payload": event,
                "line": None if exact else line,
                "length": len(line),
            }

    def sessions(self):
        """Session -> row. First values: by time, then event id; without time last."""
        grouped = collections.defaultdict(list)
        for key, (event, _, line) in self.events.items():
            if filled(event.get("session")):
                at = moment(event.get("timestamp"))
                grouped[event["session"]].append(((at is None, at or 0, key.bytes), at, event["eventid"].removeprefix("cowrie.") if event["eventid"].startswith("cowrie.") else "", event, len(line)))
        latest = max((at for rows in grouped.values() for _, at, *_ in rows if at is not None), default=None)
        stray = [moment(event.get("timestamp")) for event, _, _ in self.events.values()]
        latest = max([at for at in stray if at is not None] + ([latest] if latest is not None else []), default=None)
        return {session: session_row(sorted(rows, key=lambda row: row[0]), latest) for session, rows in grouped.items()}

    def side_rows(self):
        """Table -> event id -> row."""
        tables = collections.defaultdict(dict)
        for key, (event, _, _) in self.events.items():
            found = side_row(event)
            if found:
                common = {"session": filled(event.get("session")), "ts": moment(event.get("timestamp")), "src_ip": address(event.get("src_ip"))}
                tables[found[0]][key] = {**common, **found[1]}
        return tables

    def sensor_row(self):
        times = [moment(event.get("timestamp")) for event, _, _ in self.events.values()]
        known = [at for at in times if at is not None]
        return {
            "first_event_at": min(known, default=None),
            "last_event_at": max(known, default=None),
            "event_count": len(times),
            "outside_time_count": len(times) - len(known),
            "unknown_count": sum(unknown(event["eventid"]) for event, _, _ in self.events.values()),
            "bytes": sum(len(line) for _, _, line in self.events.values()),
        }


def session_row(rows, latest):
    """The row of a session from its events in order."""

    def first(kind, value):
        return next((found for _, _, k, event, _ in rows if kind in (None, k) and (found := value(event)) is not None), None)

    count = collections.Counter(kind for _, _, kind, _, _ in rows)
    times = [at for _, at, *_ in rows if at is not None]
    closes = [at for _, at, kind, *_ in rows if kind == "session.closed"]
    started, last = min(times, default=None), max(times, default=None)
    closed, closed_at = bool(closes), max([at for at in closes if at is not None], default=None)
    idle = not closed and (last is None or (latest is not None and last < latest - 3_600_000_000))
    ended = (closed_at if closed_at is not None else last) if closed else last if idle else None
    reported = first("session.closed", duration_ms)
    login = next((event for _, _, kind, event, _ in rows if kind == "login.success"), {})
    spent = None if ended is None or started is None else decimal.Decimal(ended - started) / 1000
    port = first("session.connect", lambda e: e["src_port"] if type(e.get("src_port")) is int and 0 <= e["src_port"] <= 65535 else None)
    return {
        "protocol": first(None, lambda e: filled(e.get("protocol"))),
        "src_ip": first("session.connect", lambda e: address(e.get("src_ip"))) or first(None, lambda e: address(e.get("src_ip"))),
        "src_port": port,
        "started_at": started,
        "last_event_at": last,
        "closed": closed,
        "closed_at": closed_at,
        "ended_at": ended,
        "close_reason": "closed" if closed else "idle" if idle else None,
        "reported_duration_ms": reported,
        "duration_ms": reported if reported is not None else None if spent is None else int(spent.to_integral_value(decimal.ROUND_HALF_UP)),
        "client_version": first("client.version", lambda e: without_repr(e["version"]) if isinstance(e.get("version"), str) else None),
        "hassh": first("client.kex", lambda e: filled(e.get("hassh"))),
        "username": text(login.get("username")),
        "password": text(login.get("password")),
        "event_count": len(rows),
        "login_attempts": count["login.success"] + count["login.failed"],
        "login_successes": count["login.success"],
        "command_count": count["command.input"],
        "download_count": count["session.file_download"],
        "upload_count": count["session.file_upload"],
        "forward_count": count["direct-tcpip.request"],
        "bytes": sum(length for *_, length in rows),
    }


TIMES = {"ts", "started_at", "last_event_at", "closed_at", "ended_at", "first_event_at"}


def select(connection, table, columns, sensor):
    """Rows of a sensor as (key, dict); times as microseconds."""

    def expression(column):
        if column in TIMES:
            return f"case when isfinite({column}) then (extract(epoch from {column}) * 1000000)::int8 end"
        return {"src_ip": "host(src_ip)", "payload": "payload::text", "dst_ip": "host(dst_ip)", "claimed_ip": "host(claimed_ip)"}.get(column, column)

    with connection.cursor(name="rows") as cursor:
        cursor.execute(f"select {', '.join(map(expression, columns))} from {table} where sensor = %s", [sensor])
        for row in cursor:
            yield row[0], dict(zip(columns[1:], row[1:]))


def compare(kind, expected, actual, differences):
    expected = dict(expected)
    for key, row in actual:
        wanted = expected.pop(key, None)
        if wanted is None:
            differences.append(f"{kind} {key!r}: in the database only")
            continue
        if "payload" in row:
            row["payload"] = json.loads(row["payload"], parse_float=decimal.Decimal)
        differences += [f"{kind} {key!r}: {column} is {row[column]!r}, expected {value!r}" for column, value in wanted.items() if row[column] != value and value is not SKIP]
    differences += [f"{kind} {key!r}: missing" for key in expected]


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--database-url", required=True)
    arguments.add_argument("--sensor", required=True)
    arguments.add_argument("files", nargs="+")
    given = arguments.parse_args()
    oracle = Oracle(given.sensor)
    for path in given.files:
        oracle.read(path)
    differences = []
    with psycopg.connect(given.database_url) as connection:
        for kind, key, expected in (
            ("events", "event_id", dict(oracle.event_rows())),
            ("sessions", "session", oracle.sessions()),
            ("sensors", "sensor", {given.sensor: oracle.sensor_row()}),
            *((table, "event_id", rows) for table, rows in oracle.side_rows().items()),
            ("dead_letters", "dead_id", {key: {"length": len(line), "body": line[: 256 * 1024]} for key, line in oracle.dead.items()}),
        ):
            columns = [key, *next(iter(expected.values()), {})]
            compare(kind, expected, select(connection, kind, columns, given.sensor), differences)
    for difference in differences[:50]:
        print(ascii(difference))
    print(json.dumps({"events": len(oracle.events), "sessions": len(oracle.sessions()), "dead_letters": len(oracle.dead), **{table: len(rows) for table, rows in sorted(oracle.side_rows().items())}, **oracle.bytes, "differences": len(differences)}))
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
