//! Everything of a range, in one answer.

use serde::Serialize;
use store::statistics::{self, Over};
use utoipa::ToSchema;
use web::Problem;

use super::figures::{CountedRange, Figures, of_window};
use crate::{Api, problem::failed};

/// What happened in a range
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct Overview {
    pub range: CountedRange,
    pub figures: Figures,
}

impl Api {
    /// What happened in a range.
    pub(crate) async fn overview(&self, over: &Over) -> Result<Overview, Problem> {
        let mut connection = self.connection().await?;
        let window = statistics::totals::totals(&mut connection, over).await.map_err(failed)?;
        let (range, figures) = of_window(window);
        Ok(Overview { range, figures })
    }
}
