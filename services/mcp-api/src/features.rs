//! The window of any key of any dimension.

use events::Dimension;
use serde::Serialize;
use store::statistics::{self, Over};
use utoipa::ToSchema;
use web::{Code, Principal, Problem};

use crate::{
    Api,
    problem::{failed, not_by_sensor},
    redact::sees_secrets,
    statistics::figures::{CountedRange, Figures, of_window},
};

/// What a window holds for a key of a dimension
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct WindowFeatures {
    #[schema(example = "src_ip")]
    pub dimension: String,
    pub key: String,
    pub range: CountedRange,
    pub figures: Figures,
}

impl Api {
    /// What a range holds for a key of a dimension. A password is only looked up for who may read it: else
    /// its existence could be guessed.
    pub(crate) async fn features(
        &self,
        who: &Principal,
        dimension: &str,
        key: &str,
        over: &Over,
    ) -> Result<WindowFeatures, Problem> {
        let known = dimension.parse::<Dimension>().map_err(|_| {
            let all: Vec<_> = Dimension::ALL.iter().map(|one| one.name()).collect();
            Problem::field("dimension", format!("expected one of {}", all.join(", ")))
        })?;
        if key.contains('\0') {
            return Err(Problem::field("key", "expected a text without NUL"));
        }
        if matches!(known, Dimension::Password | Dimension::Credential) && !sees_secrets(who) {
            return Err(Problem::new(Code::Forbidden, "this dimension needs the scope secrets:read"));
        }
        let own = |sensors: &Vec<String>| known == Dimension::Sensor && sensors.iter().any(|one| one == key);
        if over.sensors.as_ref().is_some_and(|sensors| !own(sensors)) {
            return Err(not_by_sensor("this window"));
        }
        let mut connection = self.connection().await?;
        let window = statistics::things::figures(&mut connection, known, key, over).await.map_err(failed)?;
        let (range, figures) = of_window(window);
        Ok(WindowFeatures { dimension: known.name().into(), key: key.to_owned(), range, figures })
    }
}
