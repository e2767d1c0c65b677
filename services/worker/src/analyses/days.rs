//! Splits a range and a data set into UTC days.

use std::ops::Range;

use analysis::{
    Data, DataBuilder,
    data::{Row, Session},
};

/// Microseconds of a day.
pub(crate) const DAY: i64 = 86_400_000_000;

/// The days of a range of microseconds since 1970, in order and without gaps. Only the first and the last may
/// not be whole.
pub(crate) fn days(range: &Range<i64>) -> Vec<Range<i64>> {
    let mut days = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let end = (at.div_euclid(DAY) + 1).saturating_mul(DAY).min(range.end);
        days.push(at..end);
        at = end;
    }
    days
}

/// Whether this is a whole UTC day.
pub(crate) fn is_whole(day: &Range<i64>) -> bool {
    day.start.rem_euclid(DAY) == 0 && day.end - day.start == DAY
}

/// The sessions of a data set that began within a span, as a data set of their own.
pub(crate) fn within(data: &Data, span: &Range<i64>) -> Data {
    let from = data.sessions.partition_point(|session| session.started < span.start);
    let to = data.sessions.partition_point(|session| session.started < span.end);
    let mut builder = DataBuilder::default();
    for session in &data.sessions[from..to.max(from)] {
        builder.push(&row(data, session));
    }
    builder.build()
}

fn row<'a>(data: &'a Data, session: &Session) -> Row<'a> {
    Row {
        sensor: data.text(session.sensor),
        session: data.text(session.session),
        source: session.source,
        started: session.started,
        seconds: session.seconds,
        client: session.client.map(|client| data.text(client)),
        hassh: session.hassh.map(|hassh| data.text(hassh)),
        logins: data
            .logins(session)
            .iter()
            .map(|login| {
                (data.text(login.username), login.password.map(|password| data.text(password)), login.success)
            })
            .collect(),
        inputs: data.inputs(session).iter().map(|&text| data.text(text)).collect(),
        sequence: data
            .sequence(session)
            .map(|sequence| (sequence.fingerprint, sequence.length, sequence.commands.as_str())),
        files: data.files(session).iter().map(|&text| data.text(text)).collect(),
        urls: data.urls(session).iter().map(|&text| data.text(text)).collect(),
        targets: data.targets(session).iter().map(|&text| data.text(text)).collect(),
        keys: data.keys(session).iter().map(|&text| data.text(text)).collect(),
        vector: data.vector(session),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_cover_a_range_and_only_its_ends_are_not_whole() {
        let range = DAY / 2..3 * DAY + 5;
        let all = days(&range);
        assert_eq!(all, [DAY / 2..DAY, DAY..2 * DAY, 2 * DAY..3 * DAY, 3 * DAY..3 * DAY + 5]);
        assert_eq!(all.iter().map(is_whole).collect::<Vec<_>>(), [false, true, true, false]);
        assert_eq!(days(&(-DAY - 1..0)), [-DAY - 1..-DAY, -DAY..0]);
        assert!(days(&(5..5)).is_empty());
    }

    #[test]
    fn the_days_of_a_data_set_together_are_the_data_set() {
        let mut builder = DataBuilder::default();
        for n in 0..10_i64 {
            let session = format!("{n:012x}");
            let logins = vec![("root", Some(session.as_str()), n % 2 == 0), ("admin", None, false)];
            builder.push(&Row {
                sensor: "s",
                session: &session,
                started: n * DAY / 4,
                logins,
                inputs: vec!["id", &session],
                vector: &[1.0],
                ..Row::default()
            });
        }
        let data = builder.build();
        let mut again = DataBuilder::default();
        for day in days(&(0..3 * DAY)) {
            let part = within(&data, &day);
            assert!(part.sessions.iter().all(|session| day.contains(&session.started)));
            part.sessions.iter().for_each(|session| again.push(&row(&part, session)));
        }
        let again = again.build();
        let all = |data: &Data| {
            data.sessions.iter().map(|session| format!("{:?}", row(data, session))).collect::<Vec<_>>()
        };
        assert_eq!(all(&again), all(&data));
    }
}
