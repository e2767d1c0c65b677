//! Fuzzes command normalisation: it is idempotent and bounded, and keeps what the command contains.
#![no_main]

use events::normal::normalise;

libfuzzer_sys::fuzz_target!(|command: &str| {
    let once = normalise(command);
    assert!(once.len() <= 4096 + 8);
    assert!(!once.chars().any(char::is_control));
    assert_eq!(normalise(&once), once);
});
