//! Fuzzes archives: reading in one piece, and resuming in the middle, give the same bytes.
#![no_main]

use std::{cell::RefCell, io::{Seek, Write}};

thread_local! {
    static FILE: RefCell<tempfile::NamedTempFile> = RefCell::new(tempfile::NamedTempFile::new().unwrap());
}

const MAGIC: [&[u8]; 4] = [&[], &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3], b"BZh9", &[0x28, 0xb5, 0x2f, 0xfd]];

libfuzzer_sys::fuzz_target!(|input: (u8, u16, &[u8])| {
    let (kind, at, bytes) = input;
    FILE.with_borrow_mut(|file| {
        file.as_file().set_len(0).unwrap();
        file.rewind().unwrap();
        file.write_all(MAGIC[usize::from(kind % 4)]).unwrap();
        file.write_all(bytes).unwrap();
        loader::fuzzing::archive(file.path(), u64::from(at));
    });
});
