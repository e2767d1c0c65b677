//! Finds stored events that are in no file.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use events::FileId;
use store::{
    Connection,
    verify::{self as db, Origin},
};

use super::{files::Likeness, read::Counted, report::Report};

/// Events read in one query.
const PAGE: i64 = 20_000;

/// Reports stored events whose source is one of these files, or no known file, and that are not in the files.
/// Events from other files are counted separately, because those files may have been deleted on purpose.
pub(super) async fn find(on: &mut Connection, counted: &Counted, report: &mut Report) -> anyhow::Result<()> {
    let known: HashMap<FileId, (Likeness, u64)> = counted
        .files
        .iter()
        .flat_map(|found| found.known.iter().map(|&(file, like)| (file, (like, found.length))))
        .collect();
    let files: Vec<_> = known.keys().copied().collect();
    let oldest = counted.oldest.and_then(DateTime::from_timestamp_micros);
    let is_older = |at: Option<DateTime<Utc>>| at.zip(oldest).is_some_and(|(at, oldest)| at < oldest);
    // Files found by their path only. Whether they are the files on disk is known after all their events were
    // seen.
    let (mut shared, mut doubtful) = (HashSet::new(), BTreeMap::<FileId, Vec<Origin>>::new());
    let mut last: Option<Origin> = None;
    loop {
        let page = db::events_under(on, &counted.sensor, &files, counted.span, last.as_ref(), PAGE).await?;
        let Some(end) = page.last() else { break };
        last = Some(end.clone());
        for origin in page {
            let like = origin.file.and_then(|file| Some((file, *known.get(&file)?)));
            if counted.events.contains(&origin.event) {
                shared.extend(origin.file);
                continue;
            }
            match like {
                // A copy that has less than was read.
                Some((_, (Likeness::Copy, length)))
                    if origin.offset.is_some_and(|offset| offset as u64 >= length) => {}
                Some((file, (Likeness::Path { .. }, _))) => doubtful.entry(file).or_default().push(origin),
                None if is_older(origin.ts) => report.older(name(&origin), 1),
                _ => report.extra(name(&origin)),
            }
        }
    }
    let mut same: HashSet<FileId> =
        counted.files.iter().flat_map(|found| found.related.iter().copied()).collect();
    for (file, like) in known.into_iter().map(|(file, (like, _))| (file, like)) {
        let edited = !matches!(like, Likeness::Path { .. }) || shared.contains(&file);
        if edited {
            same.insert(file);
        }
        for origin in doubtful.remove(&file).into_iter().flatten().filter(|_| edited) {
            // A log that was shortened by writing a new one starts later than what was read.
            if like == (Likeness::Path { same_inode: false }) && is_older(origin.ts) {
                report.older(name(&origin), 1);
            } else {
                report.extra(name(&origin));
            }
        }
    }
    let same: Vec<_> = same.into_iter().collect();
    for other in db::other_files(on, &counted.sensor, &same, counted.span).await? {
        let time = |at: Option<DateTime<Utc>>| {
            at.map_or_else(|| "no time".to_owned(), |at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string())
        };
        let path = if other.path.is_empty() { "a file without a name" } else { &other.path };
        let name = format!("{path}: {} events, {} to {}", other.events, time(other.first), time(other.last));
        let events = other.events as u64;
        if is_older(other.last) { report.older(name, events) } else { report.elsewhere(name, events) }
    }
    Ok(())
}

fn name(origin: &Origin) -> String {
    format!(
        "event {} ({}, session {})",
        origin.event,
        origin.eventid,
        origin.session.as_deref().unwrap_or("none")
    )
}
