//! A checkpoint file of any content is read, or put aside.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| loader::fuzzing::checkpoint(bytes));
