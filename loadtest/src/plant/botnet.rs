//! Botnet campaigns: addresses of one operator that need not be quiet; members join and leave.

use crate::generate::{attacker::Attacker, json::hex, kind::Kind, random::Random, session::Step};

use super::{
    campaign::{Draft, Malware, addresses, client, log_uniform, members, tries},
    credentials::{Credential, common, popular},
    ground::{DAY, Ground, HOUR, Visit, rare_client},
    list::List,
    truth::Name,
};

struct Botnet {
    list: Option<List>,
    malware: Option<Malware>,
    key: Option<u64>,
    attempts: usize,
    /// Share of the sessions of a member that load malware or plant a key, if it does either.
    busy: f64,
    sensors: Vec<usize>,
}

pub fn plant(ground: &mut Ground<'_>, number: usize) {
    let mut random = ground.stream();
    let n = log_uniform(&mut random, 5, 300);
    let mut shared = Vec::new();
    let (list, malware, key) = loop {
        let drawn = [random.chance(0.5), random.chance(0.5), random.chance(0.35)];
        if drawn.contains(&true) {
            break (drawn[0], drawn[1], drawn[2]);
        }
    };
    let own_client = random.chance(0.4);
    for (is, name) in [(list, "list"), (malware, "template"), (key, "key"), (own_client, "client")] {
        if is {
            shared.push(name);
        }
    }
    let botnet = Botnet {
        list: list.then(|| {
            let length = 15 + random.below(150);
            List::new(&mut random, length)
        }),
        malware: malware.then(|| Malware::new(&mut random)),
        key: key.then(|| random.bits()),
        attempts: 1 + random.below(4),
        busy: random.between(0.3, 1.0),
        sensors: ground.some_sensors(&mut random),
    };
    let near = random.chance(0.1);
    let (sources, place) = addresses(ground, n, near, &mut random);
    let mut tools = vec![if own_client { rare_client(&mut random) } else { client(&mut random).0 }];
    if !own_client && random.chance(0.4) {
        tools.extend((0..1 + random.below(3)).map(|_| client(&mut random).0));
    }
    let traits = vec![
        place.to_owned(),
        format!("{} sensors", botnet.sensors.len()),
        format!("{} clients", tools.len()),
    ];
    let mut draft = Draft::new("botnet", number, shared.join("+"), tools.len() > 1, traits);
    let members = members(ground, sources, &tools);
    let turns = turns(&mut random, ground, n);
    for (mut member, turns) in members.into_iter().zip(turns) {
        for (before, at) in turns.into_iter().enumerate() {
            let name = botnet.visit(ground, &mut member, before, at);
            draft.add(&member.source, at, name);
        }
    }
    draft.keep(&mut ground.truth);
}

impl Botnet {
    fn visit(&self, ground: &mut Ground<'_>, who: &mut Attacker, before: usize, at: i64) -> Option<Name> {
        let sensor = *who.random.pick(&self.sensors);
        let acts = (self.malware.is_some() || self.key.is_some()) && who.random.chance(self.busy);
        let mut credentials: Vec<Credential> =
            (0..self.attempts).map(|number| self.credential(who, before * self.attempts + number)).collect();
        if !acts {
            let right = who.random.chance(0.1);
            let visit =
                Visit { at, sensor, kind: if right { Kind::Enter } else { Kind::Guess }, seconds: None };
            return ground.visit(who, &visit, |script| tries(script, credentials, right));
        }
        credentials.truncate(1 + who.random.below(self.attempts));
        let kind = if self.malware.is_some() { Kind::Download } else { Kind::Plant };
        ground.visit(who, &Visit { at, sensor, kind, seconds: None }, |script| {
            tries(script, credentials, true);
            if let Some(key) = self.key {
                leave(script, key);
            }
            if let Some(malware) = &self.malware {
                malware.run(script);
            }
        })
    }

    fn credential(&self, who: &mut Attacker, place: usize) -> Credential {
        match &self.list {
            Some(list) => list.at(place),
            None if who.random.chance(0.5) => popular(&mut who.random),
            None => common(&mut who.random),
        }
    }
}

fn leave(script: &mut crate::generate::script::Script<'_>, key: u64) {
    let line = format!("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ{}== «", hex(key, 330))
        .replace('«', ["root@vps", "rsa-key-20230629", "mdrfckr", "ops"][(key % 4) as usize]);
    let command = match key % 3 {
        0 => format!(
            "cd ~ && rm -rf .ssh && mkdir .ssh && echo \"{line}\">>.ssh/authorized_keys && chmod -R go= ~/.ssh && cd ~"
        ),
        1 => format!(
            "mkdir -p /root/.ssh; echo '{line}' > /root/.ssh/authorized_keys; chmod 600 /root/.ssh/authorized_keys"
        ),
        _ => format!("echo '{line}' >> ~/.ssh/authorized_keys; chattr +ai ~/.ssh/authorized_keys"),
    };
    let duplicate = script.attacker.random.chance(0.8);
    let then = Step::Download {
        url: None,
        destination: "/root/.ssh/authorized_keys".into(),
        sum: key >> 8,
        duplicate,
    };
    script.execute(command.into(), Some(then));
}

/// Draws when each member is active: infections follow each other and end again.
fn turns(random: &mut Random, ground: &Ground<'_>, n: usize) -> Vec<Vec<i64>> {
    let whole = (ground.span.end - ground.span.start) as f64;
    let long = random.lognormal(4.0 * DAY, 0.8).clamp(12.0 * HOUR, 14.0 * DAY).min(0.95 * whole);
    let from = ground.span.start as f64 + random.unit() * (whole - long);
    let a_day = random.lognormal(6.0, 0.7).clamp(1.5, 60.0);
    let bursts = random.chance(0.4);
    let of_member = |random: &mut Random| {
        let joins = from + 0.8 * long * random.unit();
        let stays = random.between(0.3, 1.0) * (from + long - joins);
        let sessions = random.rounded(a_day * stays / DAY).clamp(2, 120);
        let mut at = joins;
        let mut turns = Vec::with_capacity(sessions);
        for _ in 0..sessions {
            turns.push(at as i64);
            let pause = if bursts && random.chance(0.7) {
                random.exponential(20e6)
            } else {
                random.exponential(stays / sessions as f64)
            };
            at += pause + 1.0;
        }
        turns
    };
    (0..n).map(|_| of_member(random)).collect()
}
