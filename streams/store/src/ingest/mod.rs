//! What the processor writes of each batch, and where it got to.

pub mod dead_letters;
pub mod deliveries;
pub mod events;
pub mod files;
pub mod outbox;
pub mod positions;
pub mod sensors;
pub mod sessions;
