//! `/healthz`, `/readyz` and `/metrics` of a role.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context as _;
use axum::{Router, http::StatusCode, routing::get};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::Tasks;

/// Where the role answers about itself.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct HealthArgs {
    /// Address of /healthz, /readyz and /metrics; port 0 takes a free one
    #[arg(long, env = "COWRIESTREAM_HEALTH_LISTEN", default_value = "127.0.0.1:9464", value_name = "ADDRESS:PORT")]
    pub health_listen: SocketAddr,
}

type Check = Arc<dyn Fn() -> bool + Send + Sync>;

/// What the role needs, by name. Cheap to clone.
#[derive(Clone, Default)]
pub struct Health {
    checks: Arc<Mutex<Vec<(&'static str, Check)>>>,
}

impl Health {
    /// Adds something the role cannot work without; asked at each `/readyz`, so it must answer at once.
    pub fn needs(&self, name: &'static str, check: impl Fn() -> bool + Send + Sync + 'static) {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner).push((name, Arc::new(check)));
    }

    /// The names of what is missing now.
    fn missing(&self) -> Vec<&'static str> {
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        checks.iter().filter(|(_, check)| !check()).map(|(name, _)| *name).collect()
    }

    /// Serves until stop; returns the address it listens on.
    pub async fn serve(&self, args: &HealthArgs, tasks: &Tasks) -> anyhow::Result<SocketAddr> {
        let metrics = PrometheusBuilder::new().install_recorder().context("install the metrics recorder")?;
        let listener = tokio::net::TcpListener::bind(args.health_listen)
            .await
            .with_context(|| format!("listen on {} (COWRIESTREAM_HEALTH_LISTEN); another port, or 0 for a free one, may be given", args.health_listen))?;
        let address = listener.local_addr().context("read the listening address")?;
        let (app, stop) = (self.router(metrics), tasks.stop());
        tasks.spawn("health", async move { axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await.context("serve health") });
        Ok(address)
    }

    fn router(&self, metrics: PrometheusHandle) -> Router {
        let this = self.clone();
        let ready = move || async move {
            match this.missing() {
                missing if missing.is_empty() => (StatusCode::OK, "ready\n".to_owned()),
                missing => (StatusCode::SERVICE_UNAVAILABLE, format!("missing: {}\n", missing.join(", "))),
            }
        };
        let render = move || async move {
            metrics.run_upkeep();
            metrics.render()
        };
        Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(ready)).route("/metrics", get(render))
    }
}
