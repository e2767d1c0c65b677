//! Pages of a list.

use fields::{Cursor, PageSize};
use utoipa::IntoParams;

use crate::{Params, Problem};

/// Items of a page when the client does not say.
const DEFAULT: u32 = 100;
/// Most items of a page.
const MOST: u32 = PageSize::MAX;

/// Which page of a list a client asks for.
#[derive(Clone, PartialEq, Eq, Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Page {
    /// At most this many items; more than 1000 counts as 1000
    #[param(minimum = 1, default = 100, required = false)]
    pub page_size: u32,
    /// Where to go on: next_page_token of the page before
    #[param(value_type = Option<String>, required = false)]
    page_token: Option<String>,
}

impl Page {
    pub fn read(params: &mut Params) -> Self {
        let size = params.integer("page_size", 1..=i64::MAX).map(|size| size.min(MOST.into()));
        let token = params.text("page_token").and_then(|token| {
            let read = Cursor::read::<String>(&token);
            if read.is_err() {
                params.wrong("page_token", Cursor::wrong().message);
            }
            read.ok().flatten()
        });
        Self { page_size: size.and_then(|size| size.try_into().ok()).unwrap_or(DEFAULT), page_token: token }
    }

    /// As gRPC says it: a size of 0 and an empty token are absent.
    pub fn new(page_size: u32, page_token: &str) -> Result<Self, Problem> {
        let token = Cursor::read(page_token).map_err(|error| Problem::invalid(vec![error]))?;
        let page_size = if page_size == 0 { DEFAULT } else { page_size.min(MOST) };
        Ok(Self { page_size, page_token: token })
    }

    /// The key of the last item of the page before, as it was given to [`token`].
    pub fn after(&self) -> Option<&str> {
        self.page_token.as_deref()
    }

    pub fn wrong_token() -> Problem {
        Problem::invalid(vec![Cursor::wrong()])
    }

    /// Sorts a list that is in memory by a unique key; this page of it, and the token of the next one.
    pub fn cut<T>(&self, mut items: Vec<T>, key: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
        items.sort_by_cached_key(&key);
        if let Some(after) = self.after() {
            items.retain(|item| key(item).as_str() > after);
        }
        let more = items.len() > self.page_size as usize;
        items.truncate(self.page_size as usize);
        let next = items.last().filter(|_| more).map(|last| token(&key(last)));
        (items, next)
    }
}

/// The token of the page that begins after the item with this key.
pub fn token(key: &str) -> String {
    Cursor::after(&key).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_without_a_hole_and_without_a_double() {
        let names = ["d", "b", "é", "a", "c"].map(str::to_owned).to_vec();
        let (mut token, mut seen) = (String::new(), Vec::new());
        loop {
            let page = Page::new(2, &token).unwrap();
            let (items, next) = page.cut(names.clone(), Clone::clone);
            seen.extend(items);
            match next {
                Some(next) => token = next,
                None => break,
            }
        }
        assert_eq!(seen, ["a", "b", "c", "d", "é"]);
    }

    #[test]
    fn a_page_that_cannot_be_is_refused() {
        for token in ["x", "abc", "ff", "+1", "ée"] {
            assert!(Page::new(1, token).is_err(), "{token}");
        }
    }

    #[test]
    fn a_page_size_over_the_limit_is_the_limit() {
        for (asked, size) in [(0, DEFAULT), (1, 1), (1_000, MOST), (1_001, MOST), (u32::MAX, MOST)] {
            assert_eq!(Page::new(asked, "").unwrap().page_size, size, "{asked}");
        }
        let query = |text: &str| crate::Query::from_pairs(&[("page_size", text)]).read(Page::read);
        assert_eq!(query("5000000000").unwrap().page_size, MOST);
        assert!(query("0").is_err() && query("-1").is_err());
    }
}
