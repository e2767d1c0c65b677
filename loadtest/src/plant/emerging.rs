//! Malware that first occurs in the last part of a log and spreads over unrelated addresses.

use crate::generate::kind::Kind;

use super::{
    campaign::{Malware, client, log_uniform, tries},
    credentials::common,
    ground::{Ground, Visit, someone},
    truth::Anomaly,
};

pub fn plant(ground: &mut Ground<'_>, number: usize) {
    let mut random = ground.stream();
    let malware = Malware::new(&mut random);
    let whole = (ground.span.end - ground.span.start) as f64;
    let from = ground.span.start as f64 + whole * random.between(0.6, 0.9);
    let left = ground.span.end as f64 - from;
    let sessions = log_uniform(&mut random, 6, 50);
    for _ in 0..sessions {
        // More sessions towards the end.
        let at = from + left * random.unit().max(random.unit());
        let (client, _) = client(&mut random);
        let mut who = someone(ground.stream(), ground.address(), client, "".into());
        let visit = Visit {
            at: at as i64,
            sensor: random.below(ground.sensors.len()),
            kind: Kind::Download,
            seconds: None,
        };
        let credential = common(&mut random);
        let session = ground.visit(&mut who, &visit, |script| {
            tries(script, vec![credential], true);
            malware.run(script);
        });
        let what = format!("strain {number}");
        ground.truth.anomalies.extend(session.map(|(sensor, session)| Anomaly {
            sensor,
            session,
            class: "emerging".into(),
            what,
        }));
    }
}
