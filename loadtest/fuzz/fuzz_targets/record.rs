//! Fuzzes both readers: the loader's quick one and the processor's full one accept the same lines with the
//! same contents.
#![no_main]

use events::{Envelope, Record, SensorDelta, SessionDelta};

libfuzzer_sys::fuzz_target!(|line: &[u8]| {
    let sensor = "s".parse().unwrap();
    match (Envelope::read(line), Record::read(&sensor, line)) {
        (Ok(envelope), Ok(record)) => {
            assert_eq!((&envelope.eventid, envelope.ts), (&record.eventid, record.ts));
            assert!(!record.payload.contains('\0') && !record.eventid.contains('\0'));
            // The stored payload is read as the same event.
            let again = Record::read(&sensor, record.payload.as_bytes()).unwrap();
            assert_eq!((&again.eventid, &again.session, again.ts, again.src_ip), (&record.eventid, &record.session, record.ts, record.src_ip));
            SessionDelta::of(&record);
            SensorDelta::of(&record);
        }
        (Err(_), Err(_)) => (),
        (quick, full) => panic!("{quick:?} but {full:?}"),
    }
});
