pub(super) mod commands;
pub(super) mod files;
pub(super) mod forwards;
pub(super) mod hassh;
pub(super) mod ips;
pub(super) mod networks;
pub(super) mod usernames;
