//! Fuzzes lines in chunks of any size. Every byte is in exactly one event, dead letter or skipped stretch,
//! and the processor can read every event that the loader accepts.
#![no_main]

use events::{Envelope, LineReader, Record, SensorId, Source, line::Item, time};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (chunk, log) = (usize::from(input.0) + 1, &input.1);
    let sensor: SensorId = "fuzz".parse().unwrap();
    let mut reader = LineReader::new(0);
    let mut items = Vec::new();
    for mut part in log.chunks(chunk) {
        while let Some(item) = reader.next(&mut part) {
            items.push(item);
        }
    }
    items.extend(reader.finish());
    let (mut events, mut dead, mut skipped, mut at) = (0, 0, 0, 0);
    for item in &items {
        let length = item.end() - at;
        match item {
            Item::Line { bytes, start, .. } => {
                assert_eq!(*start, at);
                match (Envelope::read(bytes), Record::read(&sensor, bytes)) {
                    (Ok(envelope), Ok(record)) => {
                        assert_eq!((envelope.eventid, envelope.ts), (record.eventid, record.ts));
                        events += length;
                    }
                    (Err(_), Err(_)) => dead += length,
                    (envelope, record) => panic!("loader and processor disagree: {envelope:?} {record:?}"),
                }
            }
            Item::TooLong { .. } => dead += length,
            Item::Skipped { start, .. } => {
                assert_eq!(*start, at);
                skipped += length;
            }
        }
        at = item.end();
    }
    assert_eq!(events + dead + skipped, log.len() as u64);
    let text = String::from_utf8_lossy(log);
    let _ = time::read(&text);
    if let Ok(source) = text.parse::<Source>() {
        assert_eq!(source.to_string().parse::<Source>().unwrap(), source);
    }
});
