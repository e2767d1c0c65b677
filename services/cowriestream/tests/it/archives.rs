//! Archives: more than file descriptors, and what `load`, `status`, `verify` and `dead-letters` report about
//! damaged ones.

use std::{fs, io::Write, path::Path, process::Command};

use crate::harness::{Hub, PROGRAM, Writer, directory, with_database};

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// Writes a log of this many events and returns its text.
fn log(path: &Path, events: u64) -> Vec<u8> {
    Writer::new(path.to_owned()).append(events);
    fs::read(path).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_that_cannot_be_read_whole_are_reported_everywhere() {
    let hub = Hub::start().await;
    let path = hub.dir.path().join("cowrie.json");
    let text = log(&path, 400);
    let half = gzip(&text);
    fs::write(path.with_extension("json.1.gz"), &half[..half.len() / 2]).unwrap();
    let mut large = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    large.window_log(27).unwrap();
    large.write_all(&text).unwrap();
    fs::write(path.with_extension("json.2.zst"), large.finish().unwrap()).unwrap();
    let _processor = hub.processor(&[]);
    let named = ["cowrie.json.1.gz", "cowrie.json.2.zst", "zstd archives with a window over 8 MiB"];
    let says = |out: &std::process::Output, names: &[&str]| {
        let text =
            format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        names.iter().for_each(|name| assert!(text.contains(name), "{name} is not in: {text}"));
    };
    for _ in 0..2 {
        let loaded = hub.command(&["load", "--sensor", "s", path.to_str().unwrap()]).output().unwrap();
        assert_eq!(loaded.status.code(), Some(1));
        says(&loaded, &named);
        says(&loaded, &["damaged or cut off", "are committed"]);
    }
    says(&hub.run(&["status"]), &named);
    says(&hub.run(&["dead-letters", "list"]), &["damaged", "could be read only up to byte"]);
    let verify =
        || hub.command(&["verify", "--sensor", "s", "--log", path.to_str().unwrap()]).output().unwrap();
    let verified = verify();
    assert_eq!(verified.status.code(), Some(1));
    says(&verified, &named);
    says(&verified, &["missing: 0\n", "extra: 0\n", "wrong: 0\n", "unread: 2\n", "NOT CLEAN"]);
    // Replace them with complete archives.
    fs::write(path.with_extension("json.1.gz"), &half).unwrap();
    fs::write(path.with_extension("json.2.zst"), zstd::encode_all(text.as_slice(), 1).unwrap()).unwrap();
    hub.run(&["load", "--sensor", "s", path.to_str().unwrap()]);
    assert!(verify().status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn up_takes_more_archives_than_it_may_open_files() {
    let dir = directory();
    let path = dir.path().join("cowrie.json");
    let text = log(&path, 1600);
    let lines: Vec<_> = text.split_inclusive(|&byte| byte == b'\n').collect();
    for (day, part) in lines.chunks(lines.len().div_ceil(400)).enumerate() {
        fs::write(path.with_extension(format!("json.{day}.gz")), gzip(&part.concat())).unwrap();
    }
    let data = dir.path().join("data");
    let up =
        ["up", "--once", "--json", "--data-dir", data.to_str().unwrap(), "--log", path.to_str().unwrap()];
    let out = Command::new("sh")
        .args(["-c", "ulimit -n 256; exec \"$@\"", "sh", PROGRAM])
        .args(up)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    with_database(&data, |url| {
        let arguments = ["verify", "--log", path.to_str().unwrap(), "--data-dir", data.to_str().unwrap()];
        let verified = Command::new(PROGRAM).args(arguments).env("DATABASE_URL", url).output().unwrap();
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    });
}
