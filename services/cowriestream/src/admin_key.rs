//! The key that `up` writes into its file `env`.

use access::{Key, Scope, Wish};
use anyhow::Context as _;
use servers::DataDir;
use store::{Store, keys::Actor};

const NAME: &str = "up";

/// The key of the last start, if it still may do everything; else a new one. It is never printed.
pub(crate) async fn find_or_create(store: &Store, data: &DataDir) -> anyhow::Result<Key> {
    let mut connection = store.connection().await?;
    if let Some(key) = written(data) {
        let row = store::keys::find(&mut connection, key.id()).await?;
        let usable = row.is_some_and(|row| {
            let admin = row.scopes.iter().any(|scope| scope == Scope::Admin.name());
            admin && row.is_valid(boot::now()) && key.hash().is(&row.hash)
        });
        if usable {
            return Ok(key);
        }
    }
    let wish = Wish {
        name: NAME.into(),
        scopes: vec![Scope::Admin.name().into()],
        sensors: Vec::new(),
        expires_in: None,
        daily_quota: None,
    };
    let created =
        access::create(&mut connection, &wish, Actor { who: NAME, from: None, at: boot::now() }).await?;
    Key::parse(&created.key).ok().context("create a key")
}

fn written(data: &DataDir) -> Option<Key> {
    let text = std::fs::read_to_string(data.join("env")).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix("API_KEY="))?;
    Key::parse(value.trim().trim_matches('\'')).ok()
}
