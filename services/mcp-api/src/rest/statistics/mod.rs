pub(super) mod overview;
pub(super) mod timeline;
