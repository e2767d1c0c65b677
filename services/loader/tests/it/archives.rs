//! Archives that are damaged, cut off, unsupported, padded, or modified in the future.

use std::{
    fs::{self, File},
    io::Write,
    time::Duration,
};

use crate::site::{Site, Writer, gzip};

fn bzip2(text: &str) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &str, window_log: u32) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.long_distance_matching(true).unwrap();
    encoder.window_log(window_log).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[tokio::test]
async fn whole_archives_of_every_format_are_read_with_members_and_padding() {
    let mut site = Site::new().await;
    let texts: Vec<String> = (0..9).map(|_| site.events(200)).collect();
    let (half, rest) = texts[0].split_at(texts[0].len() / 2);
    for (name, bytes) in [
        ("1.gz", gzip(&[half, rest])),
        ("2.gz", joined(&[&gzip(&[&texts[1]]), &[0; 100_000]])),
        ("3.gz", gzip(&[""])),
        ("4.gz", Vec::new()),
        ("5.bz2", joined(&[&bzip2(&texts[2]), &bzip2(&texts[3])])),
        ("6.bz2", joined(&[&bzip2(&texts[4]), &[0; 10]])),
        ("7.zst", joined(&[&zstd(&texts[5], 20), b"\x50\x2a\x4d\x18\x03\0\0\0abc", &zstd(&texts[6], 23)])),
        ("8.zst", zstd("", 20)),
        // The name has no extension of an archive.
        ("9", zstd(&texts[7], 20)),
    ] {
        fs::write(site.path(&format!("cowrie.json.{name}")), bytes).unwrap();
    }
    fs::write(site.path("cowrie.json"), &texts[8]).unwrap();
    let mut loader = site.loader_with(&["--once"]);
    let summary = loader.summary().await;
    assert_eq!(
        (&summary["events"], &summary["dead_letters"], &summary["damaged"]),
        (&1800.into(), &0.into(), &0.into())
    );
    site.until_all_committed(&loader).await;
}

#[tokio::test]
async fn damaged_archives_count_up_to_the_damage_and_are_reported_by_every_run() {
    let mut site = Site::new().await;
    let texts: Vec<String> = (0..6).map(|_| site.events(400)).collect();
    let cut = |bytes: Vec<u8>| bytes[..bytes.len() * 6 / 10].to_vec();
    let mut flipped = gzip(&[&texts[1]]);
    let checksum = flipped.len() - 8;
    flipped[checksum] ^= 0x10;
    let damaged = [
        ("1.gz", cut(gzip(&[&texts[0]]))),
        ("2.gz", flipped),
        ("3.bz2", cut(bzip2(&texts[2]))),
        ("4.zst", cut(zstd(&texts[3], 20))),
        ("5.gz", joined(&[&gzip(&[&texts[4]]), b"garbage"])),
        ("6.gz", gzip(&[&texts[5]])[..15].to_vec()),
    ];
    for (name, bytes) in &damaged {
        fs::write(site.path(&format!("cowrie.json.{name}")), bytes).unwrap();
    }
    fs::write(site.path("cowrie.json"), site.events(10)).unwrap();
    let mut loader = site.loader_with(&["--once"]);
    let summary = loader.summary_of_failure().await;
    let number = |name: &str| summary[name].as_u64().unwrap();
    assert_eq!((number("damaged"), number("unreadable")), (6, 0), "{summary}");
    assert_eq!(number("bytes"), number("event_bytes") + number("dead_bytes") + number("skipped_bytes"));
    for (name, _) in &damaged {
        assert!(
            loader.log().contains(&format!("cowrie.json.{name}: damaged or cut off: ")),
            "{name}: {}",
            loader.log()
        );
    }
    {
        let postgres = site.processor.postgres();
        assert!(postgres.events.keys().all(|line| site.written.contains(line)));
        assert!(
            texts[1].lines().chain(texts[4].lines()).all(|line| postgres.events.contains_key(line)),
            "what came before counts"
        );
        let named = postgres.dead.values().filter(|dead| dead.reason == events::Reason::Damaged);
        assert_eq!(named.filter(|dead| dead.detail.contains("could be read only up to byte")).count(), 6);
    }
    // Nothing is read again, and nothing is forgotten.
    let deliveries = site.processor.postgres().deliveries();
    let again = site.loader_with(&["--once"]).summary_of_failure().await;
    assert_eq!((&again["damaged"], &again["events"]), (&6.into(), &0.into()), "{again}");
    assert_eq!(site.processor.postgres().deliveries(), deliveries);
    // Whole archives in their places are read without problems.
    for ((name, _), text) in damaged.iter().zip(&texts) {
        fs::write(site.path(&format!("cowrie.json.{name}")), gzip(&[text])).unwrap();
    }
    let mut loader = site.loader_with(&["--once"]);
    assert_eq!(loader.summary().await["damaged"], 0);
    site.until_all_committed(&loader).await;
}

#[tokio::test]
async fn a_zstd_window_that_is_too_large_is_refused_by_name() {
    let mut site = Site::new().await;
    // Incompressible, so that the window matters.
    let mut text = String::new();
    while text.len() < 9 << 20 {
        text.push_str(&site.events(1000));
    }
    site.written.clear();
    fs::write(site.path("cowrie.json.1.zst"), zstd(&text, 27)).unwrap();
    fs::write(site.path("cowrie.json"), site.events(10)).unwrap();
    let mut loader = site.loader_with(&["--once"]);
    let summary = loader.summary_of_failure().await;
    assert_eq!((&summary["unreadable"], &summary["events"]), (&1.into(), &10.into()), "{summary}");
    assert!(
        loader.log().contains("cowrie.json.1.zst: not read: zstd archives with a window over 8 MiB"),
        "{}",
        loader.log()
    );
    site.until_all_committed(&loader).await;
}

#[tokio::test]
async fn an_archive_that_is_copied_slowly_heals_and_one_from_the_future_is_read() {
    let mut site = Site::new().await;
    Writer::open(&site.path("cowrie.json")).write(site.events(1));
    let loader = site.loader_with(&["--close-after-seconds", "1"]);
    site.until_all_committed(&loader).await;
    let (future, slow) = (site.path("cowrie.json.1.gz"), site.path("cowrie.json.2.gz"));
    fs::write(&future, gzip(&[&site.events(20)])).unwrap();
    File::options()
        .write(true)
        .open(&future)
        .unwrap()
        .set_modified((boot::now() + Duration::from_secs(400 * 24 * 3600)).into())
        .unwrap();
    let whole = gzip(&[&site.events(500)]);
    fs::write(&slow, &whole[..whole.len() / 2]).unwrap();
    site.until("the damage is reported", &loader, |postgres| {
        postgres.reasons().contains(&events::Reason::Damaged)
    })
    .await;
    let heartbeat = beat(&site).await;
    assert_eq!(heartbeat.damaged, 1);
    assert!(
        heartbeat.files.iter().any(|file| file.path.ends_with("2.gz") && file.problem.is_some()),
        "{heartbeat:?}"
    );
    File::options().append(true).open(&slow).unwrap().write_all(&whole[whole.len() / 2..]).unwrap();
    site.until_all_committed(&loader).await;
    while beat(&site).await.damaged > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits for the next heartbeat.
pub async fn beat(site: &Site) -> bus::Heartbeat {
    let now = boot::now().timestamp_millis();
    loop {
        let beats = site.bus.heartbeats().await.unwrap_or_default();
        if let Some((_, beat)) = beats.into_iter().find(|(_, beat)| beat.at_ms > now) {
            return beat;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
