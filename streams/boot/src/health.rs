//! `/healthz`, `/readyz` and `/metrics` of a role.

use std::{
    collections::BTreeSet,
    future::Future,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use axum::{Router, http::StatusCode, routing::get};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::{Tasks, serve_http};

/// The address of the health endpoints.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct HealthArgs {
    /// Address of /healthz, /readyz and /metrics; port 0 takes a free one
    #[arg(
        long,
        env = "COWRIESTREAM_HEALTH_LISTEN",
        default_value = "127.0.0.1:9464",
        value_name = "ADDRESS:PORT"
    )]
    pub health_listen: SocketAddr,
}

/// Interval between two probes of a dependency.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Time limit of one probe. Interval and limit together are below the 5 s within which `/readyz` must react.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

type Check = Arc<dyn Fn() -> bool + Send + Sync>;

/// The dependencies of the role, by name. Cheap to clone.
#[derive(Clone, Default)]
pub struct Health {
    checks: Arc<Mutex<Vec<(&'static str, Check)>>>,
}

impl Health {
    /// Adds a dependency of the role. `check` is called at each `/readyz`, so it must return at once.
    pub fn needs(&self, name: &'static str, check: impl Fn() -> bool + Send + Sync + 'static) {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner).push((name, Arc::new(check)));
    }

    /// Adds a dependency that is probed each second until stop. The role is not ready while `ask` returns
    /// false or takes longer than 2 s, so a frozen server counts as missing, too.
    pub fn probe<R>(&self, name: &'static str, tasks: &Tasks, ask: impl Fn() -> R + Send + 'static)
    where
        R: Future<Output = bool> + Send + 'static,
    {
        let (answers, stop) = (Arc::new(AtomicBool::new(true)), tasks.stop());
        let flag = answers.clone();
        self.needs(name, move || flag.load(Ordering::Relaxed));
        tasks.spawn("probe", async move {
            loop {
                let answered = tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    answered = tokio::time::timeout(PROBE_LIMIT, ask()) => answered.unwrap_or(false),
                };
                match (answers.swap(answered, Ordering::Relaxed), answered) {
                    (true, false) => tracing::warn!(
                        dependency = name,
                        "a dependency does not answer; this role is not ready"
                    ),
                    (false, true) => tracing::info!(dependency = name, "a dependency answers again"),
                    _ => (),
                }
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = tokio::time::sleep(PROBE_INTERVAL) => (),
                }
            }
        });
    }

    /// The names of the missing dependencies.
    fn missing(&self) -> BTreeSet<&'static str> {
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        checks.iter().filter(|(_, check)| !check()).map(|(name, _)| *name).collect()
    }

    /// Serves until stop; returns the address it listens on.
    pub async fn serve(&self, args: &HealthArgs, tasks: &Tasks) -> anyhow::Result<SocketAddr> {
        let metrics = PrometheusBuilder::new().install_recorder().context("install the metrics recorder")?;
        crate::metrics::describe();
        let listener = tokio::net::TcpListener::bind(args.health_listen).await.with_context(|| {
            format!(
                "listen on {} (COWRIESTREAM_HEALTH_LISTEN): choose another port, or 0 for a free one",
                args.health_listen
            )
        })?;
        let address = listener.local_addr().context("read the listening address")?;
        let (app, serving) = (self.router(metrics), tasks.clone());
        tasks.spawn("health", async move { serve_http(listener, "health", app, &serving).await });
        Ok(address)
    }

    fn router(&self, metrics: PrometheusHandle) -> Router {
        let this = self.clone();
        let ready = move || async move {
            match this.missing() {
                missing if missing.is_empty() => (StatusCode::OK, "ready\n".to_owned()),
                missing => (
                    StatusCode::SERVICE_UNAVAILABLE,
                    format!("missing: {}\n", missing.into_iter().collect::<Vec<_>>().join(", ")),
                ),
            }
        };
        let render = move || async move {
            metrics.run_upkeep();
            metrics.render()
        };
        Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(render))
    }
}
