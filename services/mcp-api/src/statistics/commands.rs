//! What attackers typed.

use chrono::{DateTime, Utc};
use events::Dimension;
use serde::Serialize;
use store::{
    statistics::{self, Over},
    windows::Measure,
};
use utoipa::ToSchema;
use web::Problem;

use super::top::{Top, top};
use crate::{Api, problem::failed};

/// What attackers typed
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct Commands {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    /// Lines that were typed
    pub commands: i64,
    /// Normalised: addresses, URLs, random names and the like are replaced by placeholders
    pub distinct: Top,
}

impl Api {
    /// What attackers typed.
    pub(crate) async fn commands(&self, over: &Over, limit: u32) -> Result<Commands, Problem> {
        let mut connection = self.connection().await?;
        let on = &mut *connection;
        let commands = statistics::totals::totals(on, over).await.map_err(failed)?.commands;
        let distinct = top(on, Dimension::Command, Measure::Commands, over, limit).await?;
        Ok(Commands { from: over.span.from, to: over.span.to, commands, distinct })
    }
}
