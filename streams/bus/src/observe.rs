//! Logs what happens to the connection.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_nats::Event;

/// Errors of the server or the client are warned of once in this time: each message may cause one.
const ERROR_INTERVAL: Duration = Duration::from_secs(60);

/// What was logged about one connection.
#[derive(Default)]
pub(crate) struct Observer(Mutex<State>);

#[derive(Default)]
struct State {
    lost_at: Option<Instant>,
    warned_at: Option<Instant>,
}

impl Observer {
    pub fn report(&self, event: &Event) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Connected => match state.lost_at.take() {
                Some(lost) => {
                    state.warned_at = None;
                    tracing::info!(seconds = lost.elapsed().as_secs(), "connected to the broker again");
                }
                None => tracing::debug!("broker connected"),
            },
            Event::Disconnected => {
                if state.lost_at.is_none() {
                    tracing::warn!("lost the connection to the broker; reconnecting");
                }
                state.lost_at.get_or_insert_with(Instant::now);
            }
            Event::ServerError(_) | Event::ClientError(_) | Event::SlowConsumer(_)
                if state.warned_at.is_none_or(|at| at.elapsed() >= ERROR_INTERVAL) =>
            {
                state.warned_at = Some(Instant::now());
                tracing::warn!(error = %event, "the broker or its client reports an error");
            }
            Event::Closed => tracing::debug!("broker connection closed"),
            other => tracing::debug!(event = %other, "broker"),
        }
    }
}
