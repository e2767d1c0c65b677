//! Pages of a list: how long one is, and where the next one begins.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};

use crate::FieldError;

/// Entries of a page: 1 to 1 000, 100 unless the request says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageSize(u32);

impl PageSize {
    pub const MAX: u32 = 1_000;

    /// Reads the field `page_size`; 0 counts as absent, as in protobuf, and a size over the limit as the
    /// limit.
    pub fn read(size: u32) -> Self {
        match size {
            0 => Self::default(),
            size => Self(size.min(Self::MAX)),
        }
    }

    /// The number of rows to ask the database for: one more than the page has, which shows whether there is
    /// a next page.
    pub fn rows(self) -> i64 {
        i64::from(self.0) + 1
    }

    /// Cuts rows, asked for as [`Self::rows`] says, to the page. Returns the cursor after its last row, if
    /// there is a next page.
    pub fn cut<T, P: Serialize>(self, rows: &mut Vec<T>, place: impl Fn(&T) -> P) -> Option<Cursor> {
        let more = rows.len() > self.0 as usize;
        rows.truncate(self.0 as usize);
        rows.last().filter(|_| more).map(|last| Cursor::after(&place(last)))
    }
}

impl Default for PageSize {
    fn default() -> Self {
        Self(100)
    }
}

/// Most bytes of a cursor that is read.
const LONGEST: usize = 1_024;

/// Where the next page of a list begins: after the row at a place. Clients get an opaque text, base64url of
/// JSON; what it holds may change between versions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Cursor(String);

impl Cursor {
    pub fn after(place: &impl Serialize) -> Self {
        Self(URL_SAFE_NO_PAD.encode(serde_json::to_vec(place).unwrap_or_default()))
    }

    /// Reads the field `page_token`: the place after which a page begins. An empty text is the first page.
    pub fn read<P: DeserializeOwned>(token: &str) -> Result<Option<P>, FieldError> {
        if token.is_empty() {
            return Ok(None);
        }
        let bytes = (token.len() <= LONGEST).then(|| URL_SAFE_NO_PAD.decode(token).ok()).flatten();
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).map(Some).ok_or_else(Self::wrong)
    }

    /// The error of a `page_token` that did not come from this list.
    pub fn wrong() -> FieldError {
        FieldError::new("page_token", "expected next_page_token of the page before")
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> Self {
        cursor.0
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use proptest::prelude::*;

    use super::*;

    type Place = (DateTime<Utc>, String);

    #[test]
    fn a_page_has_100_entries_unless_the_request_says_1_to_1_000() {
        for (asked, size) in [(0, 100), (1, 1), (1_000, 1_000), (1_001, 1_000)] {
            assert_eq!(PageSize::read(asked), PageSize(size));
        }
    }

    #[test]
    fn the_cursor_of_a_page_names_its_last_row_if_there_are_more() {
        let size = PageSize(3);
        for (there, next) in [(0, None), (3, None), (4, Some(2))] {
            let mut rows: Vec<i64> = (0..there.min(size.rows())).collect();
            let cursor = size.cut(&mut rows, |row| *row);
            assert_eq!(cursor.and_then(|cursor| Cursor::read(&cursor.0).unwrap()), next);
            assert_eq!(rows.len() as i64, there.min(3));
        }
    }

    #[test]
    fn what_is_not_a_cursor_of_this_list_is_refused() {
        assert_eq!(Cursor::read::<Place>("").unwrap(), None);
        let other = Cursor::after(&7);
        for bad in ["x", "1790000000_7", "=", "e30", "é", &other.0, &"A".repeat(100_000)] {
            assert_eq!(Cursor::read::<Place>(bad).unwrap_err().field, "page_token", "{bad:.40}");
        }
    }

    proptest! {
        #[test]
        fn a_cursor_reads_back(micros in 0_i64..253_370_764_800_000_000, id in ".{0,40}") {
            let place: Place = (DateTime::from_timestamp_micros(micros).unwrap(), id);
            let cursor = Cursor::after(&place);
            prop_assert!(cursor.0.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
            prop_assert_eq!(Cursor::read(&cursor.0).unwrap(), Some(place));
        }
    }
}
