//! Private servers with a schema, and helpers for the rows of jobs.

use bus::{Bus, BusArgs, topology::TopologyArgs};
use jobs::{Capabilities, Preference, WorkerSpec};
use servers::{
    Wanted,
    testing::{Backend, directory, psql},
};
use store::{Store, StoreArgs, jobs::Claimed};
use uuid::Uuid;

pub struct Site {
    servers: Backend,
    // Deleted after the servers have stopped.
    _directory: tempfile::TempDir,
    pub store: Store,
}

impl Site {
    /// Starts Postgres, and NATS if it is wanted.
    pub async fn start(nats: bool) -> Self {
        let directory = directory();
        let wanted = Wanted { nats, postgres: true, redis: false };
        let servers = Backend::start(&directory.path().join("servers"), wanted).await;
        let args = StoreArgs { database_url: servers.urls().database.clone(), database_connections: 4 };
        let store = Store::connect(&args).await.unwrap();
        store.migrate().await.unwrap();
        Self { servers, _directory: directory, store }
    }

    /// A connection to a broker with every stream.
    pub async fn bus(&self) -> Bus {
        let args = BusArgs { nats_url: self.servers.urls().nats.clone(), nats_creds: None };
        let bus = Bus::connect(&args, "test").await.unwrap();
        let topology = TopologyArgs { replicas: 1, events_max_bytes: 64 << 20, ack_wait_seconds: 60 };
        bus.provision(&topology).await.unwrap();
        bus
    }

    pub fn psql(&self, sql: &str) -> String {
        psql(self.store.url(), sql).trim().to_owned()
    }

    /// Adds a job as a submission does.
    pub fn add_job(&self, job_type: &str, parameters: &str) -> Uuid {
        let job_id = Uuid::now_v7();
        self.psql(&format!(
            "insert into jobs (job_id, job_type, queue, parameters, priority, timeout_seconds, max_attempts,
                request_hash, not_before)
            values ('{job_id}', '{job_type}', 'reports', '{parameters}', 5, 3600, 3, '', now())"
        ));
        job_id
    }

    /// Adds a job and claims it, as a worker does.
    pub async fn claim(&self, job_type: &str, parameters: &str) -> Claimed {
        self.add_job(job_type, parameters);
        let worker_id = Uuid::new_v4();
        let spec = WorkerSpec {
            name: "tester".into(),
            hostname: "tester@host".into(),
            place: "native".into(),
            platform: "linux-amd64".into(),
            concurrency: 1,
            queues: vec![Preference { queue: "reports".into(), priority: 50, exclusive: false }],
            job_types: vec![job_type.into()],
            capabilities: Capabilities { accelerator: "none".into(), memory_gb: 1.0, cpu_cores: 1 },
        };
        let mut connection = self.store.connection().await.unwrap();
        store::jobs::workers::register(&mut connection, worker_id, &spec).await.unwrap();
        store::jobs::claim(&mut connection, worker_id, 1, None).await.unwrap().pop().unwrap()
    }

    pub fn state(&self, job_id: Uuid) -> String {
        self.psql(&format!("select state from jobs where job_id = '{job_id}'"))
    }
}

/// The stored form of the parameters of a diagnostic job.
pub fn diagnostic(steps: i64, seconds: f64) -> String {
    let parameters = serde_json::json!({
        "steps": steps, "step_seconds": seconds, "memory_mb": 0, "fail": "never", "fail_at_step": 0,
        "fail_attempts": 0
    });
    parameters.to_string()
}
