//! Describes an event in a few words.

use events::Record;

use super::line::Fields;

/// The description, safe for a terminal. For other kinds of events it is Cowrie's message.
pub(super) fn event(record: &Record, fields: &Fields<'_>) -> String {
    let text = |key| fields.text(key);
    match record.eventid.strip_prefix("cowrie.").unwrap_or_default() {
        "session.connect" => format!("to port {}", text("dst_port")),
        "session.closed" => closed(record),
        "session.params" => text("arch"),
        "login.success" | "login.failed" if has(fields, "fingerprint") => {
            format!("{} with key {} {}", text("username"), text("type"), text("fingerprint"))
        }
        "login.success" | "login.failed" => format!("{}/{}", text("username"), text("password")),
        "command.input" | "command.success" | "command.failed" | "session.input" => {
            format!("`{}`", text("input"))
        }
        "session.file_download" | "session.file_upload" => file(fields),
        "session.file_download.failed" => join(&[&text("url"), &text("destfile"), &text("error")]),
        "direct-tcpip.request" | "direct-tcpip.tunnel" => place(fields, "dst_ip", "dst_port"),
        "direct-tcpip.redirect" => {
            format!("{} → {}", place(fields, "dst_ip", "dst_port"), place(fields, "new_ip", "new_port"))
        }
        "direct-tcpip.data" | "tunnelproxy-tcpip.data" => {
            format!("{} {}", place(fields, "dst_ip", "dst_port"), text("data"))
        }
        "client.version" => boot::safe_up_to(record.version.as_deref().unwrap_or_default(), 100),
        "client.kex" => format!("hassh {}", text("hassh")),
        "client.size" => format!("{}x{}", text("width"), text("height")),
        "client.var" => format!("{}={}", text("name"), text("value")),
        "client.fingerprint" => join(&[&text("username"), &text("type"), &text("fingerprint")]),
        "telnet.option" => join(&[&text("command"), &text("option_name")]),
        "log.closed" => bytes(fields, "size"),
        _ => text("message"),
    }
}

/// The SGR code for the event's name.
pub(super) fn color(eventid: &str) -> &'static str {
    let name = eventid.strip_prefix("cowrie.").unwrap_or(eventid);
    match name.split('.').next().unwrap_or_default() {
        _ if name == "login.success" => "1;31",
        "login" => "33",
        "command" => "36",
        _ if name.starts_with("session.file") => "1;35",
        "direct-tcpip" | "tunnelproxy-tcpip" => "34",
        "session" => "32",
        _ => "",
    }
}

fn has(fields: &Fields<'_>, key: &str) -> bool {
    !fields.raw(key).is_empty()
}

fn closed(record: &Record) -> String {
    record.duration_ms.map_or_else(String::new, |ms| format!("after {}.{} s", ms / 1000, ms % 1000 / 100))
}

/// The source and target of a file, and the start of its hash.
fn file(fields: &Fields<'_>) -> String {
    let from = [fields.text("url"), fields.text("filename"), fields.text("destfile")];
    let mut from: Vec<_> = from.iter().filter(|text| !text.is_empty()).map(String::as_str).collect();
    from.dedup();
    let sum = fields.start("shasum", 12);
    join(&[&from.join(" "), &if sum.is_empty() { sum } else { format!("→ sha256 {sum}…") }])
}

/// `host:port`; an IPv6 address in brackets.
fn place(fields: &Fields<'_>, host: &str, port: &str) -> String {
    let (host, port) = (fields.text(host), fields.text(port));
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn bytes(fields: &Fields<'_>, key: &str) -> String {
    let number = fields.text(key);
    if number.is_empty() { number } else { format!("{number} bytes") }
}

fn join(parts: &[&str]) -> String {
    parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(" ")
}
