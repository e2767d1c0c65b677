//! Other users, for servers that must not run as root.

use std::fs;

use anyhow::Context as _;
use rustix::process::geteuid;

/// User id and group id.
pub(super) type User = (u32, u32);

/// If this process runs as root: the first of these users that exists, except `taken`.
pub(super) fn instead_of_root(names: &[&str], taken: Option<User>) -> anyhow::Result<Option<User>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
    let user = names.iter().filter_map(|name| id(&users, name)).find(|user| taken != Some(*user));
    user.map(Some).with_context(|| {
        format!(
            "a server that must not run as root needs one of the users {}, but none exists",
            names.join(", ")
        )
    })
}

fn id(users: &str, name: &str) -> Option<User> {
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut numbers = line.split(':').skip(2).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}
