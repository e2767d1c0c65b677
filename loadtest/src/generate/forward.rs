//! Forwarded connections: requests, the data sent, and their fingerprints.

use std::sync::Arc;

use super::{
    json::{hex, repr},
    profile::LEARNT,
    random::Random,
    script::Script,
    session::{Step, Target, Text},
    tables::TABLES,
};

/// Writes the steps of a session that forwards `requests` connections.
pub fn proxy(script: &mut Script<'_>, requests: usize) {
    let mean = |name: &str| f64::from(script.table.means.get(name).copied().unwrap_or(0.0));
    let requested = mean("direct-tcpip.request").max(1.0);
    let data = mean("direct-tcpip.data") / requested;
    // Only versions that make up a third of the usual mix log these.
    let (ja4, ja4h) =
        (3.0 * mean("direct-tcpip.ja4") / requested, 3.0 * mean("direct-tcpip.ja4h") / requested);
    let favourite = target(&mut script.attacker.random);
    for id in 0..requests.max(1) {
        let random = &mut script.attacker.random;
        let to = if random.chance(0.5) { favourite.clone() } else { target(random) };
        let from_port = if random.chance(0.5) { 0 } else { 1024 + random.below(60_000) as u16 };
        script.steps.push(Step::Request { to: to.clone(), from_port });
        let random = &mut script.attacker.random;
        let web = to.port == 80;
        if script.cowrie.has_options() {
            if web && random.chance(4.0 * ja4h) {
                let print = format!(
                    "ge11nn{:02}0000_{}_000000000000_000000000000",
                    1 + random.below(9),
                    hex(random.below(8) as u64, 12)
                );
                script.steps.push(Step::Ja4h { to: to.clone(), print: print.into() });
            } else if to.port == 443 && random.chance(2.0 * ja4) {
                let print = format!("t12d4312h1_c7886603b240_{}", hex(random.below(8) as u64, 12));
                script.steps.push(Step::Ja4 { to: to.clone(), print: print.into() });
            }
        }
        if to.port != 25 && random.chance(data * 1.35) {
            let python2 = !script.cowrie.has_kex();
            script.steps.push(Step::Data { payload: payload(random, &to, python2), to, id });
        }
    }
}

/// Well-known host names; all others are reserved for documentation.
fn target(random: &mut Random) -> Target {
    if random.chance(0.42) {
        let (host, port, _) = &LEARNT.targets[TABLES.targets.draw(random)];
        return Target { host: host.as_str().into(), port: *port };
    }
    let port = match random.below(20) {
        0..5 => 25,
        5..14 => 443,
        14..18 => 80,
        18 => 587,
        _ => 53,
    };
    let host: Text = match random.below(24) {
        0 => format!("2001:db8::{:x}", 1 + random.below(4000)).into(),
        1 => format!("www{}.example.com", random.below(50)).into(),
        n => format!("{}.{}", ["198.51.100", "203.0.113", "192.0.2"][n % 3], 1 + random.below(254)).into(),
    };
    Target { host, port }
}

/// The data sent, as Python prints it.
fn payload(random: &mut Random, to: &Target, python2: bool) -> Arc<str> {
    let quoted = |bytes: &[u8]| format!("{}'{}'", if python2 { "" } else { "b" }, repr(bytes)).into();
    if to.port == 443 || random.chance(0.2) {
        let mut bytes = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
        let length = 210 + 110 * random.below(4);
        while bytes.len() < length {
            bytes.extend_from_slice(&random.bits().to_le_bytes());
        }
        return quoted(&bytes);
    }
    if to.port != 80 {
        return quoted(b"EHLO example.com\r\n");
    }
    let agent = *random.pick(&[
        "curl/7.88.1",
        "Go-http-client/1.1",
        "Mozilla/5.0 (Windows NT 10.0; WOW64; rv:47.0) Gecko/20100101 Firefox/47.0",
        "Java/1.8.0_66",
    ]);
    let path = *random.pick(&["/", "/", "/ip", "/json", "/checkip?geo=true", "/proxy.php"]);
    let mut request =
        format!("GET {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {agent}\r\nAccept: */*\r\n", to.host);
    if random.chance(0.5) {
        request.push_str("Accept-Encoding: gzip,deflate\r\nAccept-Language: en-US,en;q=0.8\r\nCache-Control: no-cache\r\nPragma: no-cache\r\nConnection: keep-alive\r\nCookie: ");
        request.push_str(&hex(random.bits(), 300));
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    quoted(request.as_bytes())
}
