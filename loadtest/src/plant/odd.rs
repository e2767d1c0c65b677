//! Sessions that are odd without an odd command: in their duration, counts or rhythm.

use crate::generate::{
    commands,
    kind::Kind,
    random::Random,
    script::Script,
    session::{Step, Target},
};

use super::{
    campaign::tries,
    credentials::{Credential, common, own_password, user},
    fill::name,
    ground::{Ground, Visit, common_client, host, someone, unnamed_client},
    intruders::type_all,
    truth::Anomaly,
};

#[derive(Clone, Copy, PartialEq)]
enum Oddity {
    Lasts,
    ManyLogins,
    ManyForwards,
    ManyTargets,
    ManyUploads,
    ManyKeys,
    LongPasswords,
    TypesForLong,
    ManySuccesses,
}

const ALL: [(Oddity, &str); 9] = [
    (Oddity::Lasts, "lasts for hours"),
    (Oddity::ManyLogins, "hundreds of logins"),
    (Oddity::ManyForwards, "hundreds of forwards"),
    (Oddity::ManyTargets, "forwards to all ports of a network"),
    (Oddity::ManyUploads, "many uploads"),
    (Oddity::ManyKeys, "many keys"),
    (Oddity::LongPasswords, "passwords like programs"),
    (Oddity::TypesForLong, "hundreds of common commands"),
    (Oddity::ManySuccesses, "logs in again and again"),
];

pub fn plant(ground: &mut Ground<'_>) {
    let mut random = ground.stream();
    let (oddity, what) = *random.pick(&ALL);
    let client = if random.chance(0.8) { common_client(&mut random) } else { unnamed_client(&mut random) };
    let mut who = someone(ground.stream(), ground.address(), client, host(&mut random));
    let (kind, seconds) = match oddity {
        Oddity::Lasts => {
            (*random.pick(&[Kind::Enter, Kind::Guess, Kind::Shell]), random.between(4.0, 40.0) * 3600.0)
        }
        Oddity::ManyLogins => (Kind::Guess, random.lognormal(900.0, 0.7)),
        Oddity::ManyForwards | Oddity::ManyTargets => (Kind::Proxy, random.lognormal(1500.0, 0.7)),
        Oddity::ManyUploads | Oddity::TypesForLong => (Kind::Human, random.lognormal(1200.0, 0.8)),
        Oddity::ManyKeys | Oddity::LongPasswords | Oddity::ManySuccesses => {
            (Kind::Guess, random.lognormal(60.0, 0.8))
        }
    };
    let visit = Visit {
        at: ground.moment(&mut random),
        sensor: random.below(ground.sensors.len()),
        kind,
        seconds: Some(seconds),
    };
    let session = ground.visit(&mut who, &visit, |script| write(oddity, script, &mut random));
    ground.truth.anomalies.extend(session.map(|(sensor, session)| Anomaly {
        sensor,
        session,
        class: "odd".into(),
        what: what.into(),
    }));
}

fn write(oddity: Oddity, script: &mut Script<'_>, random: &mut Random) {
    let guesses = |random: &mut Random, n: usize| -> Vec<Credential> {
        (0..n).map(|_| (user(random), own_password(random))).collect()
    };
    let enters = !matches!(oddity, Oddity::ManyLogins | Oddity::ManyKeys | Oddity::LongPasswords);
    if enters && !(oddity == Oddity::Lasts && script.table.kind == Kind::Guess) {
        tries(script, vec![common(random)], true);
    }
    match oddity {
        Oddity::Lasts if script.table.kind == Kind::Guess => tries(script, guesses(random, 2), false),
        Oddity::Lasts if script.table.kind == Kind::Shell => {
            script.execute((*random.pick(commands::RECON)).into(), None)
        }
        Oddity::Lasts => (),
        Oddity::ManyLogins => {
            let n = 80 + random.below(900);
            tries(script, guesses(random, n), false);
        }
        Oddity::ManyForwards => forwards(
            script,
            150 + random.below(900),
            |random| Target { host: host(random).to_string().into(), port: 443 },
            random,
        ),
        Oddity::ManyTargets => {
            let network = format!("10.{}.{}", random.below(256), random.below(256));
            let target = |random: &mut Random| Target {
                host: format!("{network}.{}", 1 + random.below(254)).into(),
                port: *random.pick(&[22, 23, 80, 135, 139, 443, 445, 1433, 3306, 3389, 5900, 8080]),
            };
            forwards(script, 60 + random.below(400), target, random);
        }
        Oddity::ManyUploads => {
            for _ in 0..8 + random.below(60) {
                script.steps.push(Step::Upload { name: name(random).into(), sum: random.bits() >> 8 });
            }
        }
        Oddity::ManyKeys => {
            for _ in 0..15 + random.below(60) {
                let key = random.bits();
                script.steps.push(Step::Fingerprint { user: "root".into(), key });
                script.steps.push(Step::KeyLogin { user: "root".into(), key });
            }
        }
        Oddity::LongPasswords => {
            let long = (0..3 + random.below(6)).map(|_| {
                (
                    user(random),
                    format!("$({}){}", name(random), crate::generate::json::hex(random.bits(), 200)).into(),
                )
            });
            let long = long.collect();
            tries(script, long, false);
        }
        Oddity::TypesForLong => {
            let typed =
                (0..120 + random.below(500)).map(|_| (*random.pick(commands::TYPED)).to_owned()).collect();
            type_all(script, typed);
        }
        Oddity::ManySuccesses => {
            (0..10 + random.below(60)).for_each(|_| tries(script, vec![common(random)], true))
        }
    }
}

fn forwards(script: &mut Script<'_>, n: usize, target: impl Fn(&mut Random) -> Target, random: &mut Random) {
    for _ in 0..n {
        script
            .steps
            .push(Step::Request { to: target(random), from_port: 1024 + random.below(60_000) as u16 });
    }
}
