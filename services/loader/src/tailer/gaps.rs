//! Publishes dead letters about bytes that can no longer be read.

use std::time::Duration;

use events::{DeadLetter, Source};

use super::Tailer;
use crate::{
    broker::Target,
    file::{Gap, LogFile},
    files::FileKey,
};

/// How long to wait for a copy of a file that was truncated or deleted. Longer than an archive must stay
/// unchanged before it is read.
pub(super) const COPY_PATIENCE: Duration = Duration::from_secs(15);

impl Tailer {
    /// Publishes a dead letter about bytes that were published, then lost, and can no longer be read.
    pub(super) async fn publish_gap(&mut self, key: FileKey) {
        let Some(file) = self.files.get_mut(key) else { return };
        let Some(gap) = file.published_gap() else { return };
        let detail = format!(
            "{} can no longer be read; the broker lost these bytes before they were committed. A rotated \
             copy may hold them",
            file.path().display()
        );
        if file.log_gap() {
            tracing::warn!(
                path = %file.path().display(), bytes = gap.bytes(),
                "bytes are lost for good: the broker lost them, and the log no longer has them"
            );
            self.statistics.gap(gap.bytes());
        }
        let target = target(key, file, &gap);
        let Some(room) = self.reserve(key, target.epoch, 0).await else { return };
        let source = Source { files: vec![(gap.file, gap.missing)] };
        let dead = DeadLetter::gap(self.settings.sensor.clone(), detail, source);
        self.publish_dead(target, room, &dead).await;
    }

    /// Publishes a dead letter about bytes that were never published and can no longer be read, unless a copy
    /// has them.
    pub(super) async fn publish_lost(&mut self) {
        let is_due = |file: &LogFile| file.fate().lost_for().is_some_and(|lost| lost >= COPY_PATIENCE);
        for key in self.files.keys_where(is_due) {
            let Some(epoch) = self.files.get(key).map(|file| file.progress().epoch()) else { continue };
            let Some(room) = self.reserve(key, epoch, 0).await else { continue };
            if !self.may_read() {
                return;
            }
            let is_copied = self.files.is_copied(key);
            let Some(file) = self.files.get_mut(key) else { continue };
            let Some(gap) = file.take_lost().filter(|_| !is_copied) else { continue };
            self.checkpoint.mark(true);
            // If a loader was killed, more was published than its checkpoint says. Postgres has been asked
            // since.
            if gap.missing.is_empty() {
                continue;
            }
            let path = file.path().display();
            tracing::warn!(
                %path, bytes = gap.bytes(),
                "bytes are lost for good: the log was truncated or deleted before they were read"
            );
            self.statistics.gap(gap.bytes());
            let detail = format!("{path} was truncated or deleted before these bytes were read");
            file.add_lost(&gap);
            let target = target(key, file, &gap);
            let source = Source { files: vec![(gap.file, gap.missing)] };
            let dead = DeadLetter::gap(self.settings.sensor.clone(), detail, source);
            self.publish_dead(target, room, &dead).await;
        }
    }

    /// Publishes a dead letter about the rest of an archive that could not be read. An archive that changes
    /// counts as another file.
    pub(super) async fn publish_damage(&mut self, key: FileKey) {
        let file = self.files.get(key).filter(|file| file.trouble().has_unreported_damage());
        let Some(epoch) = file.map(|file| file.progress().epoch()) else { return };
        let Some(room) = self.reserve(key, epoch, 0).await else { return };
        let Some(file) = self.files.get_mut(key) else { return };
        let Some((gap, detail)) = file.report_damage() else { return };
        self.checkpoint.mark(true);
        let source = Source::one(gap.file, gap.start, gap.end);
        let dead = DeadLetter::damaged(self.settings.sensor.clone(), detail, source);
        let target = target(key, file, &gap);
        self.publish_dead(target, room, &dead).await;
    }
}

/// The message about a gap.
fn target(key: FileKey, file: &LogFile, gap: &Gap) -> Target {
    let epoch = file.progress().epoch();
    Target { key, epoch, file: gap.file, start: gap.start, end: gap.end, replaces: None }
}
