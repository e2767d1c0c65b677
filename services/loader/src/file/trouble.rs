//! Why a file cannot be read, or only in part.

#[derive(Default)]
pub(crate) struct Trouble {
    /// Why it could not be read.
    error: Option<String>,
    /// It cannot be read in its current state, and is not retried until it changes.
    is_refused: bool,
    /// Why an archive could be read only in part.
    damage: Option<String>,
    /// Offset of the dead letter that reports the damage; `None` until it is published.
    damage_reported: Option<u64>,
}

impl Trouble {
    pub fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Whether reading failed and is to be retried.
    pub(super) fn is_retried(&self) -> bool {
        self.error.is_some() && !self.is_refused
    }

    /// Reading failed. Returns whether this is another error than the last one.
    pub(super) fn fail(&mut self, error: String, is_refused: bool) -> bool {
        self.is_refused = is_refused;
        let is_new = self.error.as_ref() != Some(&error);
        self.error = Some(error);
        is_new
    }

    /// The file was read.
    pub(super) fn clear_error(&mut self) {
        self.error = None;
    }

    /// The file changed: it may be readable now.
    pub(super) fn retry(&mut self) {
        self.is_refused = false;
    }

    pub fn is_damaged(&self) -> bool {
        self.damage.is_some()
    }

    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// Records the damage, if any. Returns whether it is damaged in another way than before.
    pub(super) fn set_damage(&mut self, damage: Option<String>) -> bool {
        let is_new = damage.is_some() && damage != self.damage;
        self.damage = damage;
        is_new
    }

    /// The checkpoint says that this damage was reported at this offset.
    pub(super) fn resume(&mut self, damage: Option<String>, reported: u64) {
        (self.damage, self.damage_reported) = (damage, Some(reported));
    }

    /// Whether the archive is damaged and no dead letter says so.
    pub fn has_unreported_damage(&self) -> bool {
        self.damage.is_some() && self.damage_reported.is_none()
    }

    pub(super) fn set_damage_reported(&mut self, offset: u64) {
        self.damage_reported = Some(offset);
    }

    /// Keeps the report of the damage only if `is_committed` holds for its offset.
    pub(super) fn keep_report_if(&mut self, is_committed: impl FnOnce(u64) -> bool) {
        self.damage_reported = self.damage_reported.filter(|&at| is_committed(at));
    }

    /// Why the file could not be read, or not to its end.
    pub fn problem(&self) -> Option<&str> {
        self.error.as_deref().or(self.damage.as_deref())
    }
}
