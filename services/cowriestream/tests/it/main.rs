//! The whole walk of an event against real servers, killed and robbed at every step.

mod competing;
mod dead_letters;
mod harness;
mod kill;
mod loss;
mod samples;
mod up;
mod verify;
