//! The gRPC interface, generated from `cowrie/v1/*.proto`, whose comments are its reference; and what turns
//! its messages into the views that REST and the command line show.
//!
//! **Invariant**: a view that becomes a message and a view again is the same view, up to the spelling of numbers in
//! results (`Struct` holds doubles only).

mod json;
#[cfg(test)]
mod lint;
mod request;
mod views;

pub use generated::*;
pub use json::{object_of, struct_of, time, timestamp};
pub use prost_types::Timestamp;
pub use request::{TooDeep, request_json, request_message};

mod generated {
    #![allow(clippy::all, clippy::too_many_lines, unused_qualifications, reason = "generated code")]
    tonic::include_proto!("cowrie.v1");
}

/// What server reflection answers with.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
