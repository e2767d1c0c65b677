//! What attackers tried to log in with.

use chrono::{DateTime, Utc};
use events::Dimension;
use serde::Serialize;
use store::{statistics::Over, windows::Measure};
use utoipa::ToSchema;
use web::{Principal, Problem};

use super::top::{Top, top};
use crate::{Api, redact};

/// What attackers tried to log in with
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct Credentials {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    /// Whether passwords are in full: with the scope secrets:read
    pub passwords_in_full: bool,
    pub usernames: Top,
    pub passwords: Top,
    /// `username:password`; `:` and `\` in the username are escaped by `\`
    pub credentials: Top,
}

impl Api {
    /// What attackers tried to log in with.
    pub(crate) async fn credentials(
        &self,
        who: &Principal,
        over: &Over,
        limit: u32,
    ) -> Result<Credentials, Problem> {
        let mut connection = self.connection().await?;
        let on = &mut *connection;
        let usernames = top(on, Dimension::Username, Measure::Events, over, limit).await?;
        let passwords = top(on, Dimension::Password, Measure::Events, over, limit).await?;
        let credentials = top(on, Dimension::Credential, Measure::Events, over, limit).await?;
        Ok(Credentials {
            from: over.span.from,
            to: over.span.to,
            passwords_in_full: redact::sees_secrets(who),
            usernames,
            passwords: passwords.with_keys(|key| redact::password(who, key)),
            credentials: credentials.with_keys(|key| redact::credential(who, key)),
        })
    }
}
