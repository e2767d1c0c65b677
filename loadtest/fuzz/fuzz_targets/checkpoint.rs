//! Fuzzes the checkpoint file: any content is read or set aside.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| loader::fuzzing::checkpoint(bytes));
