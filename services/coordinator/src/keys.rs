//! API keys: list, create, revoke, rotate.

use access::{Created, KeyView, Wish};
use chrono::TimeDelta;
use fields::Age;
use serde::Serialize;
use store::keys::Actor;
use utoipa::ToSchema;
use web::{Code, Page, Principal, Problem};

use crate::{problem::failed, service::Service};

/// A page of keys
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKeyList)]
pub(crate) struct KeyList {
    keys: Vec<KeyView>,
    #[schema(required = true)]
    next_page_token: Option<String>,
}

impl Service {
    pub(crate) async fn keys(&self, page: &Page) -> Result<KeyList, Problem> {
        let mut connection = self.connection().await?;
        let rows = store::keys::list(&mut connection).await.map_err(failed)?;
        let views: Vec<_> = rows.into_iter().map(KeyView::from).collect();
        let (keys, next_page_token) = page.cut(views, |key: &KeyView| key.id.clone());
        Ok(KeyList { keys, next_page_token })
    }

    pub(crate) async fn create_key(&self, wish: &Wish, principal: &Principal) -> Result<Created, Problem> {
        let mut connection = self.connection().await?;
        let (who, from) = names(principal);
        let actor = Actor { who: &who, from: from.as_deref(), at: boot::now() };
        access::create(&mut connection, wish, actor).await.map_err(failed)
    }

    pub(crate) async fn revoke_key(&self, id: &str, principal: &Principal) -> Result<KeyView, Problem> {
        let mut connection = self.connection().await?;
        let (who, from) = names(principal);
        let actor = Actor { who: &who, from: from.as_deref(), at: boot::now() };
        let row = store::keys::revoke(&mut connection, check_id(id)?, actor).await.map_err(failed)?;
        row.map(Into::into).ok_or_else(|| no_key(id))
    }

    pub(crate) async fn rotate_key(
        &self,
        id: &str,
        overlap: Age,
        principal: &Principal,
    ) -> Result<Created, Problem> {
        let mut connection = self.connection().await?;
        let (who, from) = names(principal);
        let actor = Actor { who: &who, from: from.as_deref(), at: boot::now() };
        let overlap = TimeDelta::seconds(overlap.seconds());
        let created = access::rotate(&mut connection, check_id(id)?, overlap, actor).await.map_err(failed)?;
        if let Some(created) = created {
            return Ok(created);
        }
        match store::keys::find(&mut connection, id).await.map_err(failed)? {
            None => Err(no_key(id)),
            Some(_) => {
                let detail = format!("key {id} is not valid any more, or was rotated before");
                Err(Problem::new(Code::InvalidState, detail))
            }
        }
    }
}

/// Who acts and from where, for the audit log.
fn names(principal: &Principal) -> (String, Option<String>) {
    let who = format!("{} ({})", principal.name, principal.id);
    (who, principal.from.map(|from| from.to_string()))
}

fn check_id(id: &str) -> Result<&str, Problem> {
    let valid = id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if valid { Ok(id) } else { Err(Problem::field("id", "expected the 8 letters and digits after csk_")) }
}

fn no_key(id: &str) -> Problem {
    Problem::not_found(format!("there is no key {id}"))
}
