//! Generates data sets of many sessions day by day, so that the lines are never all in memory.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use analysis::{
    Data, DataBuilder, arrow,
    data::{Row, Session},
    from_events::Gathered,
};
use anyhow::Context as _;
use events::{Record, SensorId};

use crate::{
    generate::{Generator, Plan},
    score::peer,
};

const DAY: i64 = 86_400_000_000;
/// Longest session of the background.
const LONGEST: i64 = 4 * 3_600_000_000;
/// Mean events per session, as learnt.
const EVENTS: f64 = 6.82;

/// Writes a data set of `sessions` sessions over `days` days: one file for our analyses, and files for
/// scikit-learn.
pub fn make(dir: &Path, sessions: usize, days: usize) -> anyhow::Result<()> {
    let plan = Plan {
        seed: 1,
        rate: 1.05 * sessions as f64 / days as f64 * EVENTS / 86_400.0,
        apart: true,
        ..Plan::default()
    };
    let (start, log) = (plan.start, Generator::new(plan));
    let sensors: Vec<SensorId> = log
        .sensors()
        .iter()
        .map(|sensor| sensor.name.parse())
        .collect::<Result<_, _>>()
        .map_err(|_| anyhow::anyhow!("name a sensor"))?;
    let mut builder = DataBuilder::default();
    let mut open: BTreeMap<i64, Gathered> = BTreeMap::new();
    let mut begun: HashMap<(usize, String), i64> = HashMap::new();
    let mut made = 0;
    for line in log {
        let day = (line.at_micros - start) / DAY;
        while let Some((&first, _)) = open.first_key_value()
            && (first + 1) * DAY + LONGEST < line.at_micros - start
            && made < sessions
        {
            let gathered = open.remove(&first).unwrap_or_default();
            begun.retain(|_, day| *day > first);
            made += push(
                &mut builder,
                &gathered.build(start + first * DAY..start + (first + 1) * DAY),
                sessions - made,
            );
        }
        // The last days are extended until the number of sessions is reached.
        if made >= sessions {
            break;
        }
        let record = Record::read(&sensors[line.sensor], &line.line).context("read a made line")?;
        let Some(session) = record.session.clone() else { continue };
        let first = *begun.entry((line.sensor, session)).or_insert(day);
        open.entry(first).or_default().push(record);
    }
    let data = builder.build();
    arrow::write(&data, fs::File::create(dir.join("data"))?)?;
    let rows: Vec<&[f32]> = data.sessions.iter().map(|session| data.vector(session)).collect();
    peer::write(dir, &rows, &peer::commands(&data))
}

/// Adds at most `most` sessions of a data set. Returns their number.
fn push(builder: &mut DataBuilder, data: &Data, most: usize) -> usize {
    data.sessions.iter().take(most).for_each(|session| add(builder, data, session));
    data.sessions.len().min(most)
}

fn add(builder: &mut DataBuilder, data: &Data, session: &Session) {
    let texts = |texts: &[analysis::data::Text]| texts.iter().map(|&text| data.text(text)).collect();
    builder.push(&Row {
        sensor: data.text(session.sensor),
        session: data.text(session.session),
        source: session.source,
        started: session.started,
        seconds: session.seconds,
        client: session.client.map(|text| data.text(text)),
        hassh: session.hassh.map(|text| data.text(text)),
        logins: data
            .logins(session)
            .iter()
            .map(|login| {
                (data.text(login.username), login.password.map(|text| data.text(text)), login.success)
            })
            .collect(),
        inputs: texts(data.inputs(session)),
        sequence: data
            .sequence(session)
            .map(|sequence| (sequence.fingerprint, sequence.length, sequence.commands.as_str())),
        files: texts(data.files(session)),
        urls: texts(data.urls(session)),
        targets: texts(data.targets(session)),
        keys: texts(data.keys(session)),
        vector: data.vector(session),
    });
}

/// Divides the sessions by UTC day.
pub fn by_day(data: &Data) -> BTreeMap<i64, Data> {
    let mut days: BTreeMap<i64, DataBuilder> = BTreeMap::new();
    data.sessions
        .iter()
        .for_each(|session| add(days.entry(session.started.div_euclid(DAY)).or_default(), data, session));
    days.into_iter().map(|(day, builder)| (day * DAY, builder.build())).collect()
}
