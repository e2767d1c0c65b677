//! The readiness checks of every role that needs the servers.

use boot::{Health, Tasks};
use bus::Bus;
use store::Store;

/// Reports not ready while NATS or Postgres does not answer.
pub fn probe_servers(health: &Health, bus: &Bus, store: &Store, tasks: &Tasks) {
    let bus = bus.clone();
    health.probe("broker", tasks, move || {
        let bus = bus.clone();
        async move { bus.answers().await }
    });
    probe_database(health, store, tasks);
}

/// Reports not ready while Postgres does not answer.
pub fn probe_database(health: &Health, store: &Store, tasks: &Tasks) {
    let store = store.clone();
    health.probe("database", tasks, move || {
        let store = store.clone();
        async move { store.answers().await }
    });
}
