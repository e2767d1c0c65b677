//! One thing: what it did in a range, when it was seen, and what is related to it.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use events::Dimension;
use serde::Serialize;
use store::{
    Connection, SessionKey,
    statistics::{self, Over, things::RelatedRow},
};
use utoipa::ToSchema;
use web::{Principal, Problem};

use crate::{
    Api,
    findings::{list::Finding, show::SessionRef},
    network,
    problem::{failed, not_by_sensor},
    statistics::{
        figures::{CountedRange, Figures, of_window},
        timeline::{Point, step},
    },
};

/// Related things of each kind.
const MOST_RELATED: i64 = 20;
/// Sessions that are listed.
const MOST_SESSIONS: usize = 20;
/// Findings that are listed.
const MOST_FINDINGS: i64 = 20;

/// What a key names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Ip,
    Network,
    Username,
    Command,
    Hassh,
    File,
    Forward,
}

impl Kind {
    fn dimension(self) -> Dimension {
        match self {
            Self::Ip => Dimension::SrcIp,
            Self::Network => Dimension::SrcNet,
            Self::Username => Dimension::Username,
            Self::Command => Dimension::Command,
            Self::Hassh => Dimension::Hassh,
            Self::File => Dimension::Download,
            Self::Forward => Dimension::Forward,
        }
    }

    /// The key as panes have it. A problem when it is not one of this kind.
    fn key(self, text: &str) -> Result<(String, Option<(IpAddr, IpAddr)>), Problem> {
        if text.contains('\0') {
            return Err(Problem::field("key", "expected a text without NUL"));
        }
        match self {
            Self::Ip => {
                let address = network::read(text).filter(|_| !text.contains('/'));
                let addresses =
                    address.ok_or_else(|| Problem::field("ip", "expected an address like 203.0.113.7"))?;
                Ok((addresses.0.to_string(), Some(addresses)))
            }
            Self::Network => {
                let key = network::pane_key(text).zip(network::read(text));
                let (key, addresses) = key.ok_or_else(|| {
                    Problem::field("network", "expected a network like 203.0.113.0/24 or 2001:db8::/48")
                })?;
                Ok((key, Some(addresses)))
            }
            Self::Command => Ok((events::normal::normalise(text).into_owned(), None)),
            Self::Username | Self::Hassh | Self::File | Self::Forward => Ok((text.to_owned(), None)),
        }
    }
}

/// One thing: an address, a network, a user name, a command, a fingerprint, a file, a target
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct Thing {
    /// As it is counted: commands are normalised
    pub key: String,
    pub range: CountedRange,
    pub figures: Figures,
    /// When it was seen at any time
    #[schema(required = true)]
    pub first_seen: Option<DateTime<Utc>>,
    #[schema(required = true)]
    pub last_seen: Option<DateTime<Utc>>,
    pub step_seconds: u64,
    /// The figures step by step, the oldest first
    pub activity: Vec<Point>,
    /// Number of the newest sessions that `related` is about: at most 200
    pub sessions_looked_at: usize,
    /// What these sessions had: the most frequent of each kind
    pub related: Vec<Related>,
    /// The newest sessions
    pub sessions: Vec<SessionRef>,
    /// Findings about it, or of its sessions, the last changed first
    pub findings: Vec<Finding>,
}

/// Something that sessions of a thing had
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct Related {
    /// sensor, ip, username, command, hassh, client_version, file, url or forward
    #[schema(example = "username")]
    pub kind: String,
    /// As attackers typed or sent it
    pub key: String,
    /// In how many of the sessions
    pub sessions: i64,
}

impl From<RelatedRow> for Related {
    fn from(row: RelatedRow) -> Self {
        Self { kind: row.kind, key: row.key, sessions: row.sessions }
    }
}

impl Api {
    /// One thing.
    pub(crate) async fn thing(
        &self,
        who: &Principal,
        kind: Kind,
        text: &str,
        over: &Over,
        asked_step: Option<i64>,
    ) -> Result<Thing, Problem> {
        if over.sensors.is_some() {
            return Err(not_by_sensor("what one thing did"));
        }
        let (key, addresses) = kind.key(text)?;
        let step = step(over, asked_step)?;
        let (dimension, mut connection) = (kind.dimension(), self.connection().await?);
        let on = &mut *connection;
        let window = statistics::things::figures(on, dimension, &key, over).await.map_err(failed)?;
        let (range, figures) = of_window(window);
        let seen = statistics::things::seen(on, dimension, &key).await.map_err(failed)?;
        let keys = [key.clone()];
        let steps = statistics::totals::steps_of_keys(on, dimension.name(), &keys, over, step)
            .await
            .map_err(failed)?;
        let sessions = sessions_of(on, dimension, &key, addresses, over).await?;
        let related = statistics::things::related(on, &sessions, MOST_RELATED).await.map_err(failed)?;
        let about = statistics::findings::about(on, &key, &sessions, None, MOST_FINDINGS).await;
        let findings = about.map_err(failed)?.into_iter().map(|row| Finding::of(who, row)).collect();
        Ok(Thing {
            key,
            range,
            figures,
            first_seen: seen.first_seen,
            last_seen: seen.last_seen,
            step_seconds: step.as_secs(),
            activity: steps.into_iter().map(Into::into).collect(),
            sessions_looked_at: sessions.len(),
            related: related.into_iter().map(Into::into).collect(),
            sessions: sessions
                .into_iter()
                .take(MOST_SESSIONS)
                .map(|(sensor, session)| SessionRef { sensor, session })
                .collect(),
            findings,
        })
    }
}

async fn sessions_of(
    on: &mut Connection,
    dimension: Dimension,
    key: &str,
    addresses: Option<(IpAddr, IpAddr)>,
    over: &Over,
) -> Result<Vec<SessionKey>, Problem> {
    let sessions = match addresses {
        Some(addresses) => statistics::things::sessions_of_addresses(on, addresses, over).await,
        None => statistics::things::sessions_of_key(on, dimension, key, over.span).await,
    };
    sessions.map_err(failed)
}
