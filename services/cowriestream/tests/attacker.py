"""Plays an attacker against a honeypot on loopback, over SSH and Telnet, and measures how long a typed command takes to its row in Postgres
and to its line in `cowriestream tail`.

  attacker.py SSH_PORT TELNET_PORT DATABASE_URL TAIL...

TAIL is the command that prints events as JSON lines. With PUBLIC_ADDRESS, an address of this machine that Cowrie takes for public,
files are downloaded from a server there.
"""

import contextlib
import http.server
import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time

import paramiko
import psycopg

REPEATS = 20
PATIENCE = 60


def ssh(port, measure):
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        transport = paramiko.Transport(connection)
        transport.start_client(timeout=PATIENCE)
        refused(lambda: transport.auth_publickey("root", paramiko.ECDSAKey.generate()))
        refused(lambda: transport.auth_password("root", "123456"))
        transport.auth_password("root", "hunter2")
        shell = transport.open_session(timeout=PATIENCE)
        shell.update_environment({"LC_ATTACKER": "e2e"})
        shell.get_pty("xterm", 132, 43)
        shell.invoke_shell()
        wait_for(shell.recv, b"# ")
        for command in ["uname -a", "no-such-program --e2e", "printf 'dropped by e2e' > /tmp/dropped", *downloads()]:
            shell.sendall(command.encode() + b"\n")
            wait_for(shell.recv, b"# ")
        measure(lambda command: (shell.sendall(command.encode() + b"\n"), wait_for(shell.recv, b"# ")))
        with paramiko.SFTPClient.from_transport(transport) as sftp:
            sftp.putfo(io.BytesIO(b"uploaded by e2e"), "/tmp/uploaded")
        forward = transport.open_channel("direct-tcpip", ("192.0.2.80", 80), ("198.51.100.7", 4242), timeout=PATIENCE)
        forward.sendall(b"GET /e2e HTTP/1.0\r\n\r\n")
        measure.until(lambda: measure.found("select 1 from forwards where kind = 'data'"))
        forward.close()
        shell.sendall(b"exit\n")
        shell.recv_exit_status()
        transport.close()


class Malware(http.server.BaseHTTPRequestHandler):
    """Has one file."""

    def do_GET(self):
        body = b"downloaded by e2e" if self.path == "/e2e" else b""
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def downloads():
    """Commands that download. Cowrie does so from public addresses only."""
    address = os.environ.get("PUBLIC_ADDRESS")
    if not address:
        return []
    server = http.server.ThreadingHTTPServer((address, 8099), Malware)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return [f"wget http://{address}:8099/e2e", f"wget http://{address}:8099/missing"]


def steer(port):
    """Typed into a terminal, control characters steer Cowrie's line editor; given as a command they are logged. Cowrie hangs up after it."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        transport = paramiko.Transport(connection)
        transport.connect(username="oracle", password="steer-e2e")
        command = transport.open_session(timeout=PATIENCE)
        # It may hang up even before it says that it will run the command.
        with contextlib.suppress(paramiko.SSHException):
            command.exec_command("echo \x1b]0;pwned\x07 \u202e \x9b2J".encode())
        while command.recv(4096):
            pass
        transport.close()


def refused(attempt):
    try:
        attempt()
    except paramiko.AuthenticationException:
        return
    raise SystemExit("the honeypot let in whom it should not")


def telnet(port):
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        for prompt, answer in [
            (b"login: ", "root"),
            (b"assword: ", "root"),
            (b"login: ", "admin"),
            (b"assword: ", "telnet-e2e"),
            (b"$ ", "cat /proc/uptime"),
            (b"$ ", "exit"),
        ]:
            wait_for(connection.recv, prompt)
            connection.sendall(answer.encode() + b"\r\n")
        while connection.recv(4096):
            pass


def wait_for(receive, prompt):
    seen = b""
    while not seen.endswith(prompt):
        some = receive(4096)
        if not some:
            raise SystemExit(f"the honeypot hung up before {prompt!r}: {seen!r}")
        # Without telnet negotiation and colours.
        seen = re.sub(rb"\xff[\xfb-\xfe].|\x1b\[[0-9;?]*[a-zA-Z]", b"", seen + some)


class Measurement:
    """Types commands one after another, and sees when each has arrived."""

    def __init__(self, database, tail):
        self.database = psycopg.connect(database, autocommit=True)
        self.tail = subprocess.Popen(tail, stdout=subprocess.PIPE, text=True)
        self.printed, self.rows = {}, {}
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.tail.stdout:
            command = json.loads(line)["event"].get("input")
            self.printed.setdefault(command, time.monotonic())

    def __call__(self, type_command):
        typed = {}
        for n in range(REPEATS):
            command = f"echo keystroke-{n}"
            typed[command] = time.monotonic()
            typist = threading.Thread(target=type_command, args=(command,))
            typist.start()
            self.until(lambda: self.stored(command))
            self.rows[command] = time.monotonic()
            self.until(lambda: command in self.printed)
            typist.join()
        ms = lambda arrived: sorted(round((arrived[c] - at) * 1000, 1) for c, at in typed.items())
        for what, times in [("row in Postgres", ms(self.rows)), ("line of tail", ms(self.printed))]:
            print(f"from a typed command to its {what}: median {times[REPEATS // 2]} ms, longest {times[-1]} ms")

    def stored(self, command):
        return self.found("select 1 from commands where kind = 'input' and input = %s", command)

    def found(self, sql, *values):
        return self.database.execute(sql, values).fetchone()

    @staticmethod
    def until(there):
        deadline = time.monotonic() + PATIENCE
        while not there():
            if time.monotonic() > deadline:
                raise SystemExit(f"waited {PATIENCE} s for a command to arrive")
            time.sleep(0.001)


def main():
    ssh_port, telnet_port, database, *tail = sys.argv[1:]
    measurement = Measurement(database, tail)
    try:
        ssh(int(ssh_port), measurement)
        steer(int(ssh_port))
        telnet(int(telnet_port))
    finally:
        measurement.tail.kill()


main()
