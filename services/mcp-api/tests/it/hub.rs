//! An mcp-api with its database, and logs that went through the processor.

use access::{Access, Key};
use boot::{Health, Tasks};
use events::{SensorId, Source};
use processor::{Prepared, Windows};
use serde_json::{Value, json};
use servers::testing::{Backend, directory, psql};
use store::{Store, StoreArgs};

use crate::http::{Answer, http};

/// A key that may do everything.
pub const KEY: &str = "csk_TestAdm1_0123456789abcdefghijklmnopqrstuv3Z65Aq";

pub struct Hub {
    pub rest: String,
    database_url: String,
    pub store: Store,
    // Dropped in this order: the tasks end first.
    _tasks: Running,
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
        let directory = directory();
        let postgres = Backend::postgres(&directory.path().join("p")).await;
        let database_url = postgres.url();
        let args = StoreArgs { database_url: Some(database_url.clone()), database_connections: 4 };
        let store = Store::connect(&args).await.unwrap();
        store.migrate().await.unwrap();
        add_key(&database_url, KEY, "admin", None);
        let tasks = Running(Tasks::default());
        let access = Access::start(&access::Args::default(), &store, None, &tasks.0).unwrap();
        let args = mcp_api::Args {
            api_listen: ([127, 0, 0, 1], 0).into(),
            api_allowed_hosts: Vec::new(),
            or_any_port: false,
            reading: mcp_api::ReadingArgs {
                database_replica_url: None,
                replica_max_lag: 10,
                api_connections: 4,
            },
        };
        let parts = mcp_api::Parts {
            store: store.clone(),
            access,
            health: Health::default(),
            tasks: tasks.0.clone(),
        };
        let address = mcp_api::start(&args, parts).await.unwrap();
        Self {
            rest: address.to_string(),
            database_url,
            store,
            _tasks: tasks,
            _postgres: postgres,
            _directory: directory,
        }
    }

    /// Commits these lines of a sensor through the processor.
    pub async fn load(&self, sensor: &str, lines: &[Value]) {
        let sensor: SensorId = sensor.parse().unwrap();
        let source = Source::default();
        let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
        let prepared: Vec<_> = lines
            .iter()
            .map(|line| Prepared::of_line(&sensor, line.as_bytes(), None, &source, None))
            .collect();
        processor::keep(&self.store, &prepared, Windows::Kept, None).await.unwrap();
    }

    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        http(&self.rest, method, path, &[], body.map(Value::to_string).as_deref())
    }

    pub fn with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        http(&self.rest, "GET", path, headers, None)
    }

    /// The body of an answer, as text; a stream with its chunks put together.
    pub fn text(&self, path: &str) -> String {
        crate::http::text(&self.rest, path)
    }

    pub fn get(&self, path: &str) -> Value {
        let answer = self.call("GET", path, None);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }

    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    pub fn psql(&self, sql: &str) -> String {
        psql(&self.database_url, sql).trim().to_owned()
    }

    /// What a query returns, as JSON.
    pub fn json(&self, sql: &str) -> Value {
        serde_json::from_str(&self.psql(&format!("select to_jsonb(q) from ({sql}) q"))).unwrap()
    }
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

/// An event of a session.
pub fn event(session: &str, at: &str, src_ip: &str, eventid: &str, fields: Value) -> Value {
    let mut line = json!({
        "eventid": format!("cowrie.{eventid}"), "session": session, "timestamp": at, "src_ip": src_ip,
    });
    line.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap_or_default());
    line
}
