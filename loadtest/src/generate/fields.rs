//! The fields of an event beyond the common ones, as each version of Cowrie names them.

use super::{
    cowrie::{Cowrie, Order},
    forms::{downloads, duration, fingerprint, shown, ttylog, version},
    json::{Json, hex},
    line::Writing,
    profile::LEARNT,
    session::{Client, Step},
};

/// Writes the fields of an event beyond the common ones.
pub fn fields(writing: &Writing<'_>, json: &mut Json) {
    let cowrie = writing.sensor.cowrie;
    if let Some(to) = writing.step.target() {
        json.text("dst_ip", &to.host);
        json.number("dst_port", u64::from(to.port));
    }
    match writing.step {
        Step::Connect => connection(writing, json),
        Step::Version => {
            json.text("version", &version(cowrie, writing.session.client.version()));
            if !cowrie.has_kex() && writing.session.number % 2 == 1 {
                algorithms(writing, json);
            }
        }
        Step::Kex => algorithms(writing, json),
        Step::ServerKex => json.list("algorithms", "ssh-rsa,ecdsa-sha2-nistp256,ssh-ed25519"),
        Step::Login { user, password, .. } => {
            if cowrie > Cowrie::V1_3 {
                json.text("username", &shown(cowrie, user));
            }
            json.text("password", &shown(cowrie, password));
        }
        Step::Fingerprint { user, key } | Step::KeyLogin { user, key } => {
            public_key(json, cowrie, user, *key)
        }
        Step::Closed => duration(
            json,
            cowrie,
            writing.session.telnet,
            (writing.at - writing.session.started) as f64 / 1e6,
        ),
        Step::LogOpen { index } => json.text("ttylog", &ttylog(writing.session, *index)),
        Step::LogClosed { index, size, sum, seconds } => {
            log_closed(writing, json, *index, *size, *sum, *seconds)
        }
        Step::Request { from_port, .. } => match cowrie.order() {
            Order::ConnectionFirst => {
                json.text("orig_ip", "127.0.0.1");
                json.number("orig_port", u64::from(*from_port));
            }
            Order::EventFirst => {
                json.text("src_ip", &writing.session.source);
                json.number("src_port", u64::from(*from_port));
            }
            Order::Python2 => json.number("src_port", u64::from(*from_port)),
        },
        Step::Data { payload, id, .. } => {
            json.text("data", payload);
            if cowrie.has_kex() {
                json.number("id", *id as u64);
            }
        }
        _ => others(json, cowrie, writing.step),
    }
}

fn connection(writing: &Writing<'_>, json: &mut Json) {
    let everywhere = writing.sensor.cowrie.order() == Order::ConnectionFirst;
    if everywhere {
        return;
    }
    if writing.sensor.cowrie.has_kex() {
        json.text("src_ip", &writing.session.source);
    }
    json.number("src_port", u64::from(writing.session.port));
    json.text("dst_ip", &writing.sensor.address);
    json.number("dst_port", u64::from(writing.session.sensor_port()));
    if writing.sensor.cowrie.has_kex() {
        json.text("session", &writing.session.id);
    }
    if writing.sensor.cowrie.has_kex() || writing.session.number % 2 == 1 {
        json.text("protocol", writing.session.protocol());
    }
}

/// Writes the algorithms of the client.
pub fn algorithms(writing: &Writing<'_>, json: &mut Json) {
    let tool = match writing.session.client {
        Client::Ssh(tool) => tool,
        Client::Other(_) => &LEARNT.tools[0],
    };
    let mut sets = tool.algorithms.split(';');
    let mut next = || sets.next().unwrap_or_default();
    let (exchange, encryption, integrity, compression) = (next(), next(), next(), next());
    if writing.sensor.cowrie.has_kex() {
        json.text("hassh", &tool.hassh);
        json.text("hasshAlgorithms", &tool.algorithms);
    }
    json.list("kexAlgs", exchange);
    json.list("keyAlgs", &tool.keys);
    json.list("encCS", encryption);
    json.list("macCS", integrity);
    json.list("compCS", compression);
    if writing.sensor.cowrie.has_kex() {
        json.list("langCS", "");
    }
}

fn log_closed(writing: &Writing<'_>, json: &mut Json, index: usize, size: u64, sum: u64, seconds: f64) {
    let cowrie = writing.sensor.cowrie;
    if !cowrie.has_kex() {
        json.text("ttylog", &ttylog(writing.session, index));
        duration(json, cowrie, false, seconds);
        return json.number("size", size);
    }
    let sum = hex(sum, 64);
    json.parts("ttylog", &["var/lib/cowrie/tty/", &sum]);
    json.number("size", size);
    json.text("shasum", &sum);
    json.raw("duplicate", if size.is_multiple_of(3) { "true" } else { "false" });
    duration(json, cowrie, writing.session.telnet, seconds);
}

fn others(json: &mut Json, cowrie: Cowrie, step: &Step) {
    match step {
        Step::Option { command, name, byte } => {
            json.text("command", command);
            json.text("option_name", name);
            json.number("option_byte", u64::from(*byte));
        }
        Step::Exploit { value } => {
            json.text("cve", "CVE-2026-24061");
            json.text("name", "USER");
            json.text("value", value);
        }
        Step::Malformed => {
            json.number("messagenum", 5);
            json.number("datalen", 21);
            json.text("data", "000000ff7373682d75736572617574680000000000");
        }
        Step::Size { width, height } => {
            json.number("width", u64::from(*width));
            json.number("height", u64::from(*height));
        }
        Step::Var { name, value } => {
            json.text("name", name);
            json.text("value", value);
        }
        Step::Params { arch } => json.text("arch", arch),
        Step::Command { input } | Step::Found { input } | Step::NotFound { input } => {
            json.text("input", input)
        }
        Step::Input { input } => {
            json.text("realm", "cat");
            json.text("input", input);
        }
        Step::Download { url, destination, sum, duplicate } => {
            let sum = hex(*sum, 64);
            if let Some(url) = url {
                json.text("url", url);
            } else if cowrie.has_kex() {
                json.raw("duplicate", if *duplicate { "true" } else { "false" });
            }
            json.parts("outfile", &[downloads(cowrie), &sum]);
            json.text("shasum", &sum);
            if url.is_none() && cowrie.has_kex() {
                json.text("destfile", destination);
            }
        }
        Step::DownloadFailed { url } => json.text("url", url),
        Step::Upload { name, sum } => {
            let sum = hex(*sum, 64);
            json.text("filename", name);
            json.parts("outfile", &[downloads(cowrie), &sum]);
            json.text("shasum", &sum);
        }
        Step::Ja4 { print, .. } => json.text("ja4", print),
        Step::Ja4h { print, .. } => json.text("ja4h", print),
        _ => (),
    }
}

fn public_key(json: &mut Json, cowrie: Cowrie, user: &str, key: u64) {
    if cowrie > Cowrie::V1_3 {
        json.text("username", &shown(cowrie, user));
    }
    json.text("fingerprint", &fingerprint(key));
    if cowrie.has_kex() {
        json.parts("key", &["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI", &hex(key, 43)]);
        json.text("type", "ssh-ed25519");
    }
}
