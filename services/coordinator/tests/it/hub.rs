//! A coordinator with its servers, and a worker that does what a test says.

use boot::{Health, Tasks};
use bus::{Bus, BusArgs, topology::TopologyArgs};
use coordinator::Args;
use jobs::{Capabilities, Preference, WorkerSpec};
use proto::jobs_service_client::JobsServiceClient;
use serde_json::Value;
use servers::testing::{Backend, directory, psql};
use store::{
    Store, StoreArgs,
    jobs::{Claimed, End, Outcome},
};
use tonic::transport::Channel;
use uuid::Uuid;

use crate::http::{Answer, http};

const TOPOLOGY: TopologyArgs = TopologyArgs { replicas: 1, events_max_bytes: 1 << 30, ack_wait_seconds: 60 };

pub struct Hub {
    pub rest: String,
    grpc: String,
    database_url: String,
    store: Store,
    // Dropped in this order: the coordinator's tasks end first.
    _tasks: Running,
    _nats: Backend,
    _postgres: Backend,
    _directory: tempfile::TempDir,
}

struct Running(Tasks);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.stop().cancel();
    }
}

impl Hub {
    pub async fn start() -> Self {
        Self::serving(&[]).await
    }

    /// A coordinator that serves these hosts too.
    pub async fn serving(hosts: &[&str]) -> Self {
        let directory = directory();
        let nats = Backend::nats(&directory.path().join("n")).await;
        let postgres = Backend::postgres(&directory.path().join("p")).await;
        let database_url = postgres.url();
        let args = StoreArgs { database_url: Some(database_url.clone()), database_connections: 8 };
        let store = Store::connect(&args).await.unwrap();
        store.migrate().await.unwrap();
        let bus = BusArgs { nats_url: Some(nats.url()), nats_creds: None };
        let bus = Bus::connect(&bus, "coordinator").await.unwrap();
        bus.provision(&TOPOLOGY).await.unwrap();
        let args = Args {
            rest_listen: ([127, 0, 0, 1], 0).into(),
            grpc_listen: ([127, 0, 0, 1], 0).into(),
            allowed_hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
            or_any_port: false,
            schedules: None,
            mirror_days: 7,
            jobs_days: None,
        };
        let tasks = Running(Tasks::default());
        let health = Health::default();
        let parts = coordinator::Parts {
            bus,
            store: store.clone(),
            redis_url: None,
            topology: TOPOLOGY,
            health,
            tasks: tasks.0.clone(),
        };
        let listening = coordinator::start(&args, parts).await.unwrap();
        Self {
            rest: listening.rest.to_string(),
            grpc: format!("http://{}", listening.grpc),
            database_url,
            store,
            _tasks: tasks,
            _nats: nats,
            _postgres: postgres,
            _directory: directory,
        }
    }

    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        http(&self.rest, method, path, &[], body.map(Value::to_string).as_deref())
    }

    pub fn get(&self, path: &str) -> Value {
        let answer = self.call("GET", path, None);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }

    /// Submits a job; its id.
    pub fn submit(&self, body: &Value) -> String {
        let answer = self.call("POST", "/api/v1/jobs", Some(body));
        assert_eq!(answer.status, 201, "{body}: {}", answer.body);
        answer.body["job_id"].as_str().unwrap().to_owned()
    }

    pub fn psql(&self, sql: &str) -> String {
        psql(&self.database_url, sql)
    }

    pub fn count(&self, sql: &str) -> i64 {
        self.psql(sql).trim().parse().unwrap()
    }

    pub async fn jobs_service(&self) -> JobsServiceClient<Channel> {
        JobsServiceClient::new(self.channel().await)
    }

    pub async fn channel(&self) -> Channel {
        Channel::from_shared(self.grpc.clone()).unwrap().connect().await.unwrap()
    }

    /// Registers a worker of a queue.
    pub async fn worker(&self, queue: &str) -> Worker<'_> {
        let spec = WorkerSpec {
            name: "w".into(),
            hostname: "w@host".into(),
            place: "native".into(),
            platform: "linux-amd64".into(),
            concurrency: 1,
            queues: vec![Preference { queue: queue.into(), priority: 50, exclusive: false }],
            job_types: jobs::TYPES.iter().map(|known| known.name.to_owned()).collect(),
            capabilities: Capabilities { accelerator: "none".into(), memory_gb: 4.0, cpu_cores: 2 },
        };
        let worker_id = Uuid::new_v4();
        let mut connection = self.store.connection().await.unwrap();
        store::jobs::workers::register(&mut connection, worker_id, &spec).await.unwrap();
        Worker { store: &self.store, worker_id }
    }
}

/// A worker whose attempts end as the test says.
pub struct Worker<'a> {
    store: &'a Store,
    worker_id: Uuid,
}

impl Worker<'_> {
    /// Claims the only job that is due.
    pub async fn claim(&self) -> Claimed {
        let mut connection = self.store.connection().await.unwrap();
        let mut claimed = store::jobs::claim(&mut connection, self.worker_id, 2, None).await.unwrap();
        assert_eq!(claimed.len(), 1);
        claimed.remove(0)
    }

    /// Ends an attempt.
    pub async fn end(&self, claimed: &Claimed, outcome: Outcome) {
        let end = End { job_id: claimed.job_id, attempt: claimed.attempt, outcome };
        let mut connection = self.store.connection().await.unwrap();
        let ended = store::jobs::end(&mut connection, self.worker_id, &[end]).await.unwrap();
        assert_eq!(ended.len(), 1);
    }
}
