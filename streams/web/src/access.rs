//! Who may do what: scopes, principals, and the trait that decides.

use std::{future::Future, net::IpAddr, sync::Arc};

use boot::CancellationToken;
use tokio::sync::OwnedSemaphorePermit;

use crate::{Code, Operation, Problem, RateLimit};

/// What a credential allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    StatsRead,
    SecretsRead,
    FindingsWrite,
    JobsRead,
    JobsSubmit,
    /// Includes every other scope: who may make keys may make one for anything.
    Admin,
}

impl Scope {
    pub const ALL: [Self; 6] = [
        Self::StatsRead,
        Self::SecretsRead,
        Self::FindingsWrite,
        Self::JobsRead,
        Self::JobsSubmit,
        Self::Admin,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::StatsRead => "stats:read",
            Self::SecretsRead => "secrets:read",
            Self::FindingsWrite => "findings:write",
            Self::JobsRead => "jobs:read",
            Self::JobsSubmit => "jobs:submit",
            Self::Admin => "admin",
        }
    }

    pub fn read(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }

    /// Whether its data and actions can be divided by sensor. Jobs and administration concern all sensors.
    pub fn is_per_sensor(self) -> bool {
        matches!(self, Self::StatsRead | Self::SecretsRead | Self::FindingsWrite)
    }
}

/// Who sent a request; an extension of the request and of its answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Principal {
    /// The id of the key.
    pub id: String,
    /// As the access log shows it.
    pub name: String,
    pub scopes: Vec<Scope>,
    /// The sensors whose data it may see; `None`: all.
    pub sensors: Option<Vec<String>>,
    /// The address of the client, or of the proxy in front.
    pub from: Option<IpAddr>,
}

impl Principal {
    /// Refuses what the key does not allow.
    pub fn require(&self, scope: Scope) -> Result<(), Problem> {
        let forbidden = |detail| Err(Problem::new(Code::Forbidden, detail));
        if !self.scopes.contains(&scope) {
            return forbidden(format!("this key does not have the scope {}", scope.name()));
        }
        if self.sensors.is_some() && !scope.is_per_sensor() {
            let name = scope.name();
            return forbidden(format!("this key is limited to sensors, and {name} concerns all sensors"));
        }
        Ok(())
    }

    /// Whether it may see the data of a sensor.
    pub fn may_see(&self, sensor: &str) -> bool {
        self.sensors.as_ref().is_none_or(|sensors| sensors.iter().any(|one| one == sensor))
    }
}

/// A request that asks to be let in.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The key that was sent; an error when something else was sent.
    pub credential: Result<Option<&'a str>, Problem>,
    pub operation: &'a Operation,
    /// The address of the client, or of the proxy in front.
    pub from: Option<IpAddr>,
}

/// A request that was let in.
#[derive(Clone, Debug)]
pub struct Granted {
    pub principal: Principal,
    pub limits: Vec<RateLimit>,
    /// For an operation of the class stream, where streams are limited.
    pub stream: Option<Arc<StreamPlace>>,
}

/// One of the streams that a key may have at a time; given back when it is dropped.
#[derive(Debug)]
pub struct StreamPlace {
    pub permit: OwnedSemaphorePermit,
    /// Cancelled when the key stops being valid.
    pub ended: CancellationToken,
}

/// Decides about each request: its credential, its scope and its limits.
pub trait Verify: Clone + Send + Sync + 'static {
    fn verify(&self, wanted: Wanted<'_>) -> impl Future<Output = Result<Granted, Problem>> + Send;
}

/// Whoever reaches the service may do everything. A key is not looked at, but what cannot be a key is refused:
/// its sender believes in a protection that is not there.
#[derive(Clone, Copy, Debug)]
pub struct Open;

impl Verify for Open {
    async fn verify(&self, wanted: Wanted<'_>) -> Result<Granted, Problem> {
        wanted.credential?;
        let principal = Principal {
            id: "open".into(),
            name: "open".into(),
            scopes: Scope::ALL.to_vec(),
            sensors: None,
            from: wanted.from,
        };
        Ok(Granted { principal, limits: Vec::new(), stream: None })
    }
}
