//! Finishes files to which nothing will be appended.

use super::Tailer;
use super::scan::OPEN_AT_REST;

impl Tailer {
    /// Takes the last line without newline of files to which nothing will be appended.
    pub(super) async fn finish_files(&mut self) {
        let (once, close_after) = (self.settings.once, self.settings.tuning.close_after());
        for key in self.files.keys_where(|file| file.must_finish(once, close_after)) {
            if !self.may_read() {
                return;
            }
            let is_copied = self.files.is_partial_line_copied(key);
            let file = self.files.get_mut(key).filter(|file| file.must_finish(once, close_after));
            let Some(file) = file else { continue };
            if let Some(item) = file.finish()
                && !is_copied
            {
                self.publish_item(key, item, true).await;
            }
            self.publish_damage(key).await;
        }
        self.complete_files();
    }

    /// Marks the files that are wholly committed, and closes those that nobody seems to write.
    pub(super) fn complete_files(&mut self) {
        for (_, file) in self.files.iter_mut() {
            self.checkpoint.mark(file.complete());
        }
        let many_are_open = self.files.open_count() > OPEN_AT_REST;
        for (_, file) in self.files.iter_mut() {
            file.close_if_idle(many_are_open);
        }
    }
}
