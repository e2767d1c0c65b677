//! The human-readable text of an event.

use super::{
    cowrie::Cowrie,
    forms::{downloads, fingerprint, shown, ttylog, version},
    json::{Json, hex},
    profile::LEARNT,
    session::{Client, Session, Step},
};

/// Writes `message` in the form of the version.
pub fn message(json: &mut Json, cowrie: Cowrie, session: &Session, step: &Step, address: &str) {
    match step {
        Step::Params { .. } => json.raw("message", if cowrie == Cowrie::V3_0_12 { "\"\"" } else { "[]" }),
        Step::Connect => {
            let ports = [session.port, session.sensor_port()].map(|port| port.to_string());
            json.parts(
                "message",
                &[
                    "New connection: ",
                    &session.source,
                    ":",
                    &ports[0],
                    " (",
                    address,
                    ":",
                    &ports[1],
                    ") [session: ",
                    &session.id,
                    "]",
                ],
            );
        }
        Step::Version => {
            json.parts("message", &["Remote SSH version: ", &version(cowrie, session.client.version())])
        }
        Step::Kex => {
            let tool = if let Client::Ssh(tool) = session.client { tool } else { &LEARNT.tools[0] };
            json.parts("message", &["SSH client hassh fingerprint: ", &tool.hassh]);
        }
        Step::Login { user, password, success } => {
            let end = if *success { "] succeeded" } else { "] failed" };
            json.parts(
                "message",
                &["login attempt [", &shown(cowrie, user), "/", &shown(cowrie, password), end],
            );
        }
        Step::KeyLogin { user, .. } => {
            json.parts("message", &["public key login attempt for [", user, "] failed"])
        }
        Step::Fingerprint { user, key } => {
            let kind = if cowrie.has_kex() { " of type ssh-ed25519" } else { "" };
            json.parts(
                "message",
                &["public key attempt for user ", user, kind, " with fingerprint ", &fingerprint(*key)],
            );
        }
        Step::Size { width, height } => json.text("message", &format!("Terminal Size: {width} {height}")),
        Step::Var { name, value } => json.parts("message", &["request_env: ", name, "=", value]),
        Step::Command { input } => json.parts("message", &["CMD: ", input]),
        Step::Found { input } => json.parts("message", &["Command found: ", input]),
        Step::NotFound { input } => json.parts("message", &["Command not found: ", input]),
        Step::Input { input } => json.parts("message", &["INPUT (cat): ", input]),
        _ => rare(json, cowrie, session, step),
    }
}

fn rare(json: &mut Json, cowrie: Cowrie, session: &Session, step: &Step) {
    match step {
        Step::Closed => {
            let seconds = session.steps.last().map_or(0, |(offset, _)| *offset) as f64 / 1e6;
            json.parts("message", &["Connection lost after ", &lasted(cowrie, session.telnet, seconds)]);
        }
        Step::LogOpen { index } => json.parts("message", &["Opening TTY Log: ", &ttylog(session, *index)]),
        Step::LogClosed { index, sum, seconds, .. } => {
            let name = if cowrie.has_kex() {
                format!("var/lib/cowrie/tty/{}", hex(*sum, 64))
            } else {
                ttylog(session, *index)
            };
            json.parts(
                "message",
                &["Closing TTY Log: ", &name, " after ", &lasted(cowrie, session.telnet, *seconds)],
            );
        }
        Step::Download { url, sum, .. } => {
            let sum = hex(*sum, 64);
            match url {
                Some(url) => json.parts(
                    "message",
                    &["Downloaded URL (", url, ") with SHA-256 ", &sum, " to ", downloads(cowrie), &sum],
                ),
                None => json.parts(
                    "message",
                    &["Saved redir contents with SHA-256 ", &sum, " to ", downloads(cowrie), &sum],
                ),
            }
        }
        Step::DownloadFailed { url } => {
            json.parts("message", &["Attempt to download file(s) from URL (", url, ") failed"])
        }
        Step::Upload { name, sum } => json
            .parts("message", &["SFTP Uploaded file \"", name, "\" to ", downloads(cowrie), &hex(*sum, 64)]),
        _ => forwarded(json, cowrie, step),
    }
}

fn forwarded(json: &mut Json, cowrie: Cowrie, step: &Step) {
    match step {
        Step::Request { to, from_port } => {
            let (port, from) = (to.port.to_string(), from_port.to_string());
            json.parts(
                "message",
                &["direct-tcp connection request to ", &to.host, ":", &port, " from 127.0.0.1:", &from],
            );
        }
        Step::Data { to, id, payload } => {
            let id = if cowrie.has_kex() { format!("{id} ") } else { String::new() };
            json.parts(
                "message",
                &[
                    "discarded direct-tcp forward request ",
                    &id,
                    "to ",
                    &to.host,
                    ":",
                    &to.port.to_string(),
                    " with data ",
                    payload,
                ],
            );
        }
        Step::Ja4 { to, print } => json.parts(
            "message",
            &["JA4 fingerprint for forwarded TLS to ", &to.host, ":", &to.port.to_string(), ": ", print],
        ),
        Step::Ja4h { to, print } => json.parts(
            "message",
            &["JA4H fingerprint for forwarded HTTP to ", &to.host, ":", &to.port.to_string(), ": ", print],
        ),
        Step::Option { command, name, .. } => json.parts("message", &["Telnet ", command, " ", name]),
        Step::Exploit { value } => {
            json.parts("message", &["CVE-2026-24061 exploit attempt detected: USER=", value])
        }
        Step::ServerKex => json.text(
            "message",
            "Server offering host key algorithms: ['ssh-rsa', 'ecdsa-sha2-nistp256', 'ssh-ed25519']",
        ),
        _ => json.text("message", "Malformed SSH packet (message 5, 21 bytes); disconnecting"),
    }
}

/// A duration in the words of the version.
fn lasted(cowrie: Cowrie, telnet: bool, seconds: f64) -> String {
    match cowrie {
        Cowrie::V3_0_4 | Cowrie::V3_0_12 => format!("{} milliseconds", (seconds * 1000.0) as u64),
        Cowrie::V2_8 if !telnet => format!("{seconds:.1} seconds"),
        _ => format!("{} seconds", seconds as u64),
    }
}
