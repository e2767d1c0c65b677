//! Fuzzes repair of broken lines: pieces are in order and reach the end, every event is readable, and a line
//! torn anywhere is restored.
#![no_main]

use events::{Envelope, repair};

libfuzzer_sys::fuzz_target!(|line: &[u8]| {
    for parts in [repair::glued(line), repair::elements(line).unwrap_or_default()] {
        let mut at = 0;
        for part in &parts {
            assert!(at <= part.text.start && part.text.start < part.text.end && part.text.end <= part.end);
            assert!(!part.event || Envelope::read(&line[part.text.clone()]).is_ok());
            at = part.end;
        }
        assert!(parts.is_empty() || at == line.len());
    }
    if Envelope::read(line).is_ok() {
        let (head, tail) = line.split_at(line.len() / 2);
        assert_eq!(repair::stitched(head, tail).as_deref(), Some(line));
    }
});
