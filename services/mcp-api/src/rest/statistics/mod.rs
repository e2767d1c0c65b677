pub(super) mod commands;
pub(super) mod credentials;
pub(super) mod downloads;
pub(super) mod overview;
pub(super) mod sensors;
pub(super) mod sessions;
pub(super) mod threats;
pub(super) mod timeline;
