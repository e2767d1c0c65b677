//! The gRPC interface, generated from `cowrie/v1/*.proto`, whose comments are its reference.
//!
//! **Invariant**: nothing here is written by hand but this page.

#![allow(clippy::all, unused_qualifications, reason = "generated code")]

tonic::include_proto!("cowrie.v1");

/// What server reflection answers with.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
