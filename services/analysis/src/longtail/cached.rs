//! Parts and models as bytes for a cache. A hash detects damaged ones.

use serde::{Serialize, de::DeserializeOwned};

use super::VERSION;

/// Length of the hash in front of the bytes.
const SEAL: usize = 16;

/// Serialises a value as: hash of the rest, version, value.
pub(super) fn sealed(value: &impl Serialize) -> Vec<u8> {
    let bytes = postcard::to_allocvec(&(VERSION, value)).unwrap_or_default();
    [seal(&bytes).as_slice(), &bytes].concat()
}

/// Returns the value, or `None` when the bytes are damaged or of another version.
pub(super) fn opened<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let (expected, bytes) = bytes.split_at_checked(SEAL)?;
    if expected != seal(bytes) {
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
