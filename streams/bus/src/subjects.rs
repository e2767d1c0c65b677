//! Subjects as a type, which can only be built from validated tokens.

use std::fmt;

use events::{EventName, SensorId};
use fields::Name;

use crate::News;

/// A subject that is safe to publish on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subject(String);

impl Subject {
    /// `cowrie.events.<sensor>.<event>`
    pub fn event(sensor: &SensorId, name: EventName<'_>) -> Self {
        Self(format!("cowrie.events.{sensor}.{name}"))
    }

    /// `cowrie.dead.<sensor>`
    pub fn dead(sensor: &SensorId) -> Self {
        Self(format!("cowrie.dead.{sensor}"))
    }

    /// `cowrie.sessions.<sensor>`
    pub fn session(sensor: &SensorId) -> Self {
        Self(format!("cowrie.sessions.{sensor}"))
    }

    /// `cowrie.receipts.<sensor>`
    pub fn receipts(sensor: &SensorId) -> Self {
        Self(format!("cowrie.receipts.{sensor}"))
    }

    /// `cowrie.receipts.<sensor>.ask`
    pub fn ask(sensor: &SensorId) -> Self {
        Self(format!("cowrie.receipts.{sensor}.ask"))
    }

    /// `cowrie.jobs.<queue>`; `None` when the queue's name is not a valid token.
    pub fn jobs(queue: &str) -> Option<Self> {
        Name::is_valid(queue).then(|| Self(format!("cowrie.jobs.{queue}")))
    }

    /// `cowrie.status.<job_id>` or `cowrie.progress.<job_id>`; `*` for all jobs.
    pub fn of_job(news: News, job_id: &str) -> Option<Self> {
        let kind = match news {
            News::Status => "status",
            News::Progress => "progress",
        };
        (job_id == "*" || Name::is_valid(job_id)).then(|| Self(format!("cowrie.{kind}.{job_id}")))
    }

    /// A subject that this program stored earlier (in the outbox).
    pub fn stored(subject: String) -> Self {
        Self(subject)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.0
    }
}

/// The sensor in `cowrie.<kind>.<sensor>[.…]`; `None` for a subject that is not ours.
pub(crate) fn sensor_of(subject: &str) -> Option<SensorId> {
    subject.strip_prefix("cowrie.")?.split('.').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sensor_reads_back_from_the_subject() {
        let sensor: SensorId = "fra-1".parse().unwrap();
        let subject = Subject::event(&sensor, EventName::of("cowrie.session.file_download.failed"));
        assert_eq!(subject.as_str(), "cowrie.events.fra-1.session.file_download.failed");
        assert_eq!(sensor_of(subject.as_str()), Some(sensor));
        assert_eq!(sensor_of("cowrie.events"), None);
    }
}
