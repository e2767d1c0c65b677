//! Publishes again, but only on proof of loss: a stream was created again, its sequence went back, or the
//! processor's floor has passed bytes that Postgres does not have. A timer only requests receipts, it never
//! publishes.

use events::FileId;

use super::{Tailer, gaps::COPY_PATIENCE};
use crate::files::FileKey;

/// Files per request for receipts.
const REQUEST_FILES: usize = 500;

impl Tailer {
    /// Checks the streams and everything that is outstanding.
    pub(super) async fn look_for_evidence(&mut self) {
        let (answered, why) = self.broker.look_at_streams().await;
        if !answered {
            return;
        }
        if let Some(why) = why {
            self.checkpoint.mark(true);
            self.republish_all(why).await;
            // The database may have been restored from a copy together with the broker.
            self.timers.set_must_request(true);
        }
        let floors = self.broker.streams().floors();
        let is_passed = self.files.values().any(|file| file.progress().is_passed(floors));
        let is_outstanding = self.files.values().any(|file| file.progress().is_outstanding());
        if self.timers.is_request_due(is_passed, is_outstanding) {
            self.request_receipts().await;
        }
    }

    /// Publishes everything again that is not committed.
    async fn republish_all(&mut self, why: &'static str) {
        let keys = self.files.keys_where(|file| file.progress().is_outstanding());
        if !keys.is_empty() {
            tracing::warn!(why, files = keys.len(), "publishing again what is not committed");
        }
        for key in keys {
            self.republish(key).await;
        }
    }

    async fn republish(&mut self, key: FileKey) {
        let Some(file) = self.files.get_mut(key) else { return };
        let Some(gone) = file.fate().gone_for() else {
            // The next scan notices that a file which cannot be opened is gone.
            if file.open().is_ok() {
                file.republish();
            }
            return;
        };
        // There may be a copy that no scan has found yet. The next request for receipts leads here again.
        if gone < COPY_PATIENCE {
            return;
        }
        if self.files.is_copied(key) {
            // The copy is read, and its lines are published.
            self.files.remove(key);
            return self.checkpoint.mark(true);
        }
        if let Some(file) = self.files.get_mut(key) {
            file.republish_gap();
            self.publish_gap(key).await;
        }
    }

    /// Requests from a processor which ranges of each file are committed, and adopts the answer.
    pub(super) async fn request_receipts(&mut self) {
        self.timers.requested();
        let files: Vec<_> =
            self.files.iter().filter_map(|(key, file)| Some((key, file.identity().id()?))).collect();
        for some in files.chunks(REQUEST_FILES) {
            let ids: Vec<FileId> = some.iter().map(|(_, id)| *id).collect();
            let Some(answer) = self.broker.ask_receipts(&ids).await else { return };
            self.timers.received();
            self.broker.note_marks(&answer);
            for (id, ranges) in &answer.files {
                self.adopt(*id, ranges);
            }
            self.republish_passed(some.iter().map(|(key, _)| *key)).await;
        }
        self.timers.set_must_request(false);
    }

    /// Called after an answer. Its floors were read before its ranges, so a range that the floors passed and
    /// the answer lacks is lost.
    async fn republish_passed(&mut self, answered: impl Iterator<Item = FileKey>) {
        let floors = self.broker.streams().floors();
        let is_passed =
            |key: &FileKey| self.files.get(*key).is_some_and(|file| file.progress().is_passed(floors));
        let keys: Vec<_> = answered.filter(is_passed).collect();
        if !keys.is_empty() {
            tracing::info!(
                files = keys.len(),
                "the processor has passed bytes that are not committed: publishing them again"
            );
        }
        for key in keys {
            self.republish(key).await;
        }
    }

    /// Adopts an answer, which comes from Postgres. If it has fewer ranges than are known here, the database
    /// was restored from a backup.
    fn adopt(&mut self, id: FileId, ranges: &[(u64, u64)]) {
        let Some(file) = self.files.by_id_mut(id) else { return };
        if file.progress().exceeds(ranges) && !file.fate().is_gone() {
            tracing::warn!(
                path = %file.path().display(),
                "Postgres has less of this file than before; reading it again"
            );
            file.adopt(ranges);
            self.checkpoint.mark(true);
        } else {
            self.checkpoint.mark(file.commit(ranges));
        }
    }
}
