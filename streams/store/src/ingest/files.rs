//! The table `loader_files`, which stores receipts as state.

use std::collections::HashMap;

use events::{Announcement, FileId, SensorId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Failure;

/// Byte ranges of a file, and its announcement.
#[derive(Clone, Debug)]
pub struct FileReceipt {
    pub sensor: SensorId,
    pub file: FileId,
    /// Sorted, disjoint, start inclusive, end exclusive.
    pub committed: Vec<(u64, u64)>,
    /// What the loader announced about the file, if it did.
    pub announce: Option<Announcement>,
}

/// Merges receipts (one per file, sorted by sensor and file). Returns each file with all its committed
/// ranges.
pub async fn merge_receipts(
    on: &mut PgConnection,
    receipts: &[FileReceipt],
) -> Result<Vec<FileReceipt>, Failure> {
    fn column<T>(receipts: &[FileReceipt], value: impl Fn(&FileReceipt) -> T) -> Vec<T> {
        receipts.iter().map(value).collect()
    }
    fn announced<T>(receipts: &[FileReceipt], value: impl Fn(&Announcement) -> T) -> Vec<Option<T>> {
        receipts.iter().map(|receipt| receipt.announce.as_ref().map(&value)).collect()
    }
    if receipts.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        r#"insert into loader_files as f (sensor, file_id, path, device, inode, generation, fingerprint, committed)
        select sensor, file_id, path, device, inode, generation, fingerprint, committed::int8multirange
        from unnest($1::text[], $2::uuid[], $3::text[], $4::int8[], $5::int8[], $6::int4[], $7::text[], $8::text[])
            as n (sensor, file_id, path, device, inode, generation, fingerprint, committed)
        on conflict (sensor, file_id) do update set
            committed = f.committed + excluded.committed,
            path = coalesce(excluded.path, f.path),
            device = coalesce(excluded.device, f.device),
            inode = coalesce(excluded.inode, f.inode),
            generation = coalesce(excluded.generation, f.generation),
            fingerprint = coalesce(excluded.fingerprint, f.fingerprint)
        returning sensor, file_id,
            array(select lower(r) from unnest(f.committed) r) as "starts!", array(select upper(r) from unnest(f.committed) r) as "ends!""#,
        &column(receipts, |r| r.sensor.as_str().to_owned()),
        &column(receipts, |r| Uuid::from_bytes(r.file.0)),
        &announced(receipts, |a| a.path.replace('\0', "\u{fffd}")) as &[Option<String>],
        &announced(receipts, |a| a.device as i64) as &[Option<i64>],
        &announced(receipts, |a| a.inode as i64) as &[Option<i64>],
        &announced(receipts, |a| a.generation as i32) as &[Option<i32>],
        &announced(receipts, |a| a.fingerprint.to_string()) as &[Option<String>],
        &column(receipts, |r| multirange(&r.committed)),
    )
    .fetch_all(on)
    .await?;
    let mut ranges: HashMap<_, _> =
        rows.into_iter().map(|row| ((row.sensor, row.file_id), pairs(&row.starts, &row.ends))).collect();
    let merged = |receipt: &FileReceipt| {
        let committed = ranges
            .remove(&(receipt.sensor.as_str().to_owned(), Uuid::from_bytes(receipt.file.0)))
            .unwrap_or_default();
        FileReceipt { committed, ..receipt.clone() }
    };
    Ok(receipts.iter().map(merged).collect())
}

/// Returns the committed ranges of these files. An unknown file has none.
pub async fn committed_of(
    on: &mut PgConnection,
    sensor: &SensorId,
    files: &[FileId],
) -> Result<Vec<(FileId, Vec<(u64, u64)>)>, Failure> {
    let ids: Vec<_> = files.iter().map(|file| Uuid::from_bytes(file.0)).collect();
    let rows = sqlx::query!(
        r#"select file_id, array(select lower(r) from unnest(committed) r) as "starts!", array(select upper(r) from unnest(committed) r) as "ends!"
        from loader_files where sensor = $1 and file_id = any($2)"#,
        sensor.as_str(),
        &ids,
    )
    .fetch_all(on)
    .await?;
    let find = |file: &FileId| rows.iter().find(|row| row.file_id.as_bytes() == &file.0);
    Ok(files
        .iter()
        .map(|file| (*file, find(file).map(|row| pairs(&row.starts, &row.ends)).unwrap_or_default()))
        .collect())
}

/// Writes ranges as text of type `int8multirange`.
fn multirange(ranges: &[(u64, u64)]) -> String {
    let parts: Vec<_> = ranges.iter().map(|(start, end)| format!("[{start},{end})")).collect();
    format!("{{{}}}", parts.join(","))
}

fn pairs(starts: &[i64], ends: &[i64]) -> Vec<(u64, u64)> {
    starts.iter().zip(ends).map(|(&start, &end)| (start as u64, end as u64)).collect()
}
