//! Any command: normalised twice it is as normalised once, it is bounded, and it shows what it holds.
#![no_main]

use events::normal::normalise;

libfuzzer_sys::fuzz_target!(|command: &str| {
    let once = normalise(command);
    assert!(once.len() <= 4096 + 8);
    assert!(!once.chars().any(char::is_control));
    assert_eq!(normalise(&once), once);
});
