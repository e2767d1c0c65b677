//! JetStream: subjects, topology, publishing, consuming, receipts and heartbeats. Only this crate uses
//! async-nats.
//!
//! **Invariant**: a subject is built from validated tokens only. Nothing here knows the database: the one
//! caller that holds both ensures the order "commit, then acknowledge".

mod connect;
mod dead;
mod follow;
mod intake;
mod jobs;
mod loaders;
mod observe;
mod publish;
mod receipts;
mod subjects;
pub mod topology;

pub use connect::{Bus, BusArgs, StreamFacts};
pub use follow::{Beginning, Events, Followed, Following, Subjects};
pub use intake::{Batch, ConsumerFacts, Delivered, Intake, Item, Limits};
pub use jobs::{Messages, News, Permit, Permits};
pub use loaders::{FileBeat, Heartbeat, Repairs};
pub use publish::{Ack, EventMessage, PublishError, Published};
pub use receipts::{Ask, Asks, Receipts, ReceiptsStream, StreamMark};
pub use subjects::Subject;
