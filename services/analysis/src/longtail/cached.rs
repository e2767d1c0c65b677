//! Parts and models as bytes for a cache, so that what was damaged there is not taken for what it was.

use serde::{Serialize, de::DeserializeOwned};

use super::VERSION;

/// Bytes of the hash that the rest must have.
const SEAL: usize = 16;

/// A hash of what follows, the version, the value.
pub(super) fn sealed(value: &impl Serialize) -> Vec<u8> {
    let bytes = postcard::to_allocvec(&(VERSION, value)).unwrap_or_default();
    [seal(&bytes).as_slice(), &bytes].concat()
}

/// What was sealed; `None` when these are no bytes of this version, or not all of them are.
pub(super) fn opened<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let (told, bytes) = bytes.split_at_checked(SEAL)?;
    if told != seal(bytes) {
        return None;
    }
    let (version, rest) = postcard::take_from_bytes::<i16>(bytes).ok()?;
    (version == VERSION).then(|| postcard::from_bytes(rest).ok()).flatten()
}

fn seal(bytes: &[u8]) -> [u8; SEAL] {
    let mut seal = [0; SEAL];
    seal.copy_from_slice(&blake3::hash(bytes).as_bytes()[..SEAL]);
    seal
}
