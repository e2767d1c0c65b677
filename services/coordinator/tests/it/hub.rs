//! A coordinator with its servers, and a worker that does what a test says.

use access::{Access, Key};
use boot::{Health, Tasks};
use bus::{Bus, BusArgs, topology::TopologyArgs};
use coordinator::{Args, Listening};
use jobs::{Capabilities, Preference, WorkerSpec};
use proto::jobs_service_client::JobsServiceClient;
use serde_json::Value;
use servers::testing::{Backend, directory, psql};
use store::{
    Store, StoreArgs,
    jobs::{Claimed, End, Outcome},
};
use tonic::{Request, Status, service::interceptor::InterceptedService, transport::Channel};
use uuid::Uuid;

use crate::http::{Answer, http};

/// A key that may do everything; in every database of these tests.
pub const KEY: &str = "csk_TestAdm1_0123456789abcdefghijklmnopqrstuv3Z65Aq";

const TOPOLOGY: TopologyArgs = TopologyArgs { replicas: 1, events_max_bytes: 1 << 30, ack_wait_seconds: 60 };

pub struct Hub {
    pub rest: String,
    pub grpc: String,
    database_url: String,
    store: Store,
    // Dropped in this order: the coordinator's tasks end first.
    bus: Bus,
    _tasks: Running,
    _nats: Backend,
    postgres: Backend,
    _directory: tempfile::TempDir,
}

pub type Link = InterceptedService<Channel, fn(Request<()>) -> Result<Request<()>, Status>>;

fn with_key(mut request: Request<()>) -> Result<Request<()>, Status> {
    request.metadata_mut().insert("x-api-key", KEY.parse().unwrap());
    Ok(request)
}

/// Stores a key as `keys create` does.
pub fn add_key(database_url: &str, key: &str, scopes: &str, sensors: Option<&str>) {
    let id = Key::parse(key).unwrap().id().to_owned();
    let sensors = sensors.map_or("null".to_owned(), |sensors| format!("'{{{sensors}}}'"));
    psql(
        database_url,
        &format!(
            "insert into api_keys (key_id, name, hash, scopes, sensors) values ('{id}', 'test', sha256('{key}'::bytea), '{{{scopes}}}', {sensors})"
        ),
    );
}

/// A further coordinator.
pub struct Another {
    pub rest: String,
    pub grpc: String,
    _tasks: Running,
}

fn listen(address: [u8; 4]) -> Args {
    Args {
        rest_listen: (address, 0).into(),
        grpc_listen: (address, 0).into(),
        allowed_hosts: Vec::new(),
        or_any_port: false,
        schedules: None,
        mirror_days: 7,
        jobs_days: None,
        audit_days: 365,
    }
}

async fn start(
    args: &Args,
    access: &access::Args,
    bus: &Bus,
    store: &Store,
    redis_url: Option<&str>,
) -> anyhow::Result<(Listening, Running)> {
    let tasks = Running(Tasks::default());
    let access = Access::start(access, store, redis_url, &tasks.0)?;
    let parts = coordinator::Parts {
        bus: bus.clone(),
        store: store.clone(),
        access,
        redis_url: None,
        topology: TOPOLOGY,
        health: Health::default(),
        tasks: tasks.0.clone(),
    };
    Ok((coordinator::start(args, parts).await?, tasks))
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
        add_key(&database_url, KEY, "admin", None);
        let bus = BusArgs { nats_url: Some(nats.url()), nats_creds: None };
        let bus = Bus::connect(&bus, "coordinator").await.unwrap();
        bus.provision(&TOPOLOGY).await.unwrap();
        let hosts = hosts.iter().map(|&host| host.to_owned()).collect();
        let args = Args { allowed_hosts: hosts, ..listen([127, 0, 0, 1]) };
        let (listening, tasks) = start(&args, &access::Args::default(), &bus, &store, None).await.unwrap();
        Self {
            rest: listening.rest.to_string(),
            grpc: format!("http://{}", listening.grpc),
            database_url,
            store,
            bus,
            _tasks: tasks,
            _nats: nats,
            postgres,
            _directory: directory,
        }
    }

    /// Another coordinator of the same database.
    pub async fn another(&self, access: &access::Args, redis_url: Option<&str>) -> Another {
        let args = listen([127, 0, 0, 1]);
        let (listening, tasks) = start(&args, access, &self.bus, &self.store, redis_url).await.unwrap();
        Another {
            rest: listening.rest.to_string(),
            grpc: format!("http://{}", listening.grpc),
            _tasks: tasks,
        }
    }

    pub async fn stop_postgres(&mut self) {
        self.postgres.stop().await;
    }

    /// Why another coordinator on these addresses does not start.
    pub async fn refused(&self, address: [u8; 4], access: &access::Args) -> String {
        let started = start(&listen(address), access, &self.bus, &self.store, None).await;
        started.err().map(|error| format!("{error:#}")).unwrap_or_default()
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

    pub async fn jobs_service(&self) -> JobsServiceClient<Link> {
        JobsServiceClient::new(self.channel().await)
    }

    /// A connection with the key of these tests.
    pub async fn channel(&self) -> Link {
        let with_key: fn(Request<()>) -> Result<Request<()>, Status> = with_key;
        InterceptedService::new(self.bare_channel().await, with_key)
    }

    /// A connection without a key.
    pub async fn bare_channel(&self) -> Channel {
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
