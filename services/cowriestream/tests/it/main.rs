//! The whole walk of an event against real servers, killed and robbed at every step.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]
#![allow(clippy::print_stdout, reason = "what a test measured")]
#![allow(clippy::too_many_lines, reason = "a test is one story, in its order")]

mod analyses;
mod archives;
mod backlog;
mod competing;
mod coordinator;
mod crlf;
mod dead_letters;
mod delay;
mod faults;
mod harness;
mod honeypot;
mod hubs;
mod jobs;
mod kill;
mod loss;
mod matrix;
mod office;
mod output;
mod pooler;
mod queue;
mod samples;
mod signals;
mod tail;
mod traces;
mod up;
mod verify;
mod verify_live;
mod watch;
mod windows;
