//! The readiness checks of every role that needs the servers.

use boot::{Health, Tasks};
use bus::Bus;
use store::Store;

/// Reports not ready while NATS or Postgres does not answer.
pub fn probe_servers(health: &Health, bus: &Bus, store: &Store, tasks: &Tasks) {
    let (bus, store) = (bus.clone(), store.clone());
    health.probe("broker", tasks, move || {
        let bus = bus.clone();
        async move { bus.answers().await }
    });
    health.probe("database", tasks, move || {
        let store = store.clone();
        async move { store.answers().await }
    });
}
