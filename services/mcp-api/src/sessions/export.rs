//! All sessions of a filter as CSV or as one JSON object per line, read page by page while the client reads.

use bytes::Bytes;
use futures::{Stream, stream};
use serde_json::Value;
use store::statistics::{
    self,
    sessions::{SessionFilter, SessionRow},
};
use web::{Principal, Problem};

use super::list::Session;
use crate::{Api, problem::failed, redact};

/// Rows that are read at once.
const ROWS: i64 = 1_000;
/// The fields of a session, in the order of the columns.
pub(crate) const FIELDS: [&str; 21] = [
    "sensor",
    "session",
    "protocol",
    "src_ip",
    "src_port",
    "started_at",
    "ended_at",
    "duration_ms",
    "close_reason",
    "client_version",
    "hassh",
    "username",
    "password",
    "event_count",
    "login_attempts",
    "login_successes",
    "command_count",
    "download_count",
    "upload_count",
    "forward_count",
    "bytes",
];

/// The format of an exported listing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Format {
    #[default]
    Json,
    Csv,
    Ndjson,
}

/// Where an export is.
struct Export {
    api: Api,
    who: Principal,
    filter: SessionFilter,
    fields: Vec<&'static str>,
    format: Format,
    header: bool,
    ended: bool,
}

impl Api {
    /// All sessions of a filter. The first rows are read at once, so that what cannot be answered is a problem
    /// and no broken stream.
    pub(crate) async fn export_sessions(
        &self,
        who: &Principal,
        filter: SessionFilter,
        fields: Vec<&'static str>,
        format: Format,
    ) -> Result<impl Stream<Item = Result<Bytes, std::io::Error>> + Send + use<>, Problem> {
        if filter.password.is_some() && !redact::sees_secrets(who) {
            let detail = "to filter by password, a key needs the scope secrets:read";
            return Err(Problem::new(web::Code::Forbidden, detail));
        }
        let (api, who) = (self.clone(), who.clone());
        let header = format == Format::Csv;
        let mut export = Export { api, who, filter, fields, format, header, ended: false };
        let first = export.next().await?.unwrap_or_default();
        let rest = stream::try_unfold(export, |mut export| async move {
            // The status is sent: only an early end of the stream can say that something is wrong.
            let next = export.next().await.map_err(|problem| std::io::Error::other(problem.detail))?;
            Ok(next.map(|bytes| (bytes, export)))
        });
        Ok(futures::StreamExt::chain(stream::iter([Ok(first)]), rest))
    }
}

impl Export {
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        if self.ended {
            return Ok(None);
        }
        let mut connection = self.api.connection().await?;
        let rows = statistics::sessions::list(&mut connection, &self.filter, ROWS).await.map_err(failed)?;
        drop(connection);
        self.ended = rows.len() < usize::try_from(ROWS).unwrap_or_default();
        self.filter.after =
            rows.last().map(|row| (self.filter.sort.place_of(row), row.sensor.clone(), row.session.clone()));
        let mut text = String::new();
        if std::mem::take(&mut self.header) {
            text += &self.fields.join(",");
            text += "\r\n";
        }
        for row in rows {
            self.write(row, &mut text);
        }
        Ok(Some(text.into()))
    }

    fn write(&self, row: SessionRow, text: &mut String) {
        let mut value = serde_json::to_value(Session::of(&self.who, row)).unwrap_or_default();
        match self.format {
            Format::Csv => {
                let cells: Vec<_> = self.fields.iter().map(|field| cell(&value[*field])).collect();
                *text += &cells.join(",");
                *text += "\r\n";
            }
            Format::Json | Format::Ndjson => {
                keep_fields(&mut value, &self.fields);
                *text += &value.to_string();
                *text += "\n";
            }
        }
    }
}

/// Leaves only these fields of an object.
pub(crate) fn keep_fields(value: &mut Value, fields: &[&'static str]) {
    if let Some(object) = value.as_object_mut() {
        object.retain(|name, _| fields.contains(&name.as_str()));
    }
}

/// A cell of CSV. A spreadsheet takes a text that begins with one of `=+-@`, tab or carriage return for a
/// formula, also after blanks: such a text gets an apostrophe before it.
pub(crate) fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) => text.clone(),
        // Numbers and truth values are ours.
        other => return other.to_string(),
    };
    let first = text.trim_start().chars().next();
    let formula = first.is_some_and(|first| "=+-@|%＝＋－＠".contains(first))
        || text.starts_with(['\t', '\r', '\n', '\0']);
    let text = if formula { format!("'{text}") } else { text };
    format!("\"{}\"", text.replace('\0', "\u{fffd}").replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for (text, expected) in [
            ("=1+1", "\"'=1+1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("-2+3", "\"'-2+3\""),
            ("  +1", "\"'  +1\""),
            ("\t=1", "\"'\t=1\""),
            ("\r=1", "\"'\r=1\""),
            ("\u{ff1d}1", "\"'\u{ff1d}1\""),
            ("a,\"b\"\nc", "\"a,\"\"b\"\"\nc\""),
            ("root", "\"root\""),
            ("", "\"\""),
        ] {
            assert_eq!(cell(&text.into()), expected);
        }
        assert_eq!(cell(&Value::from(-5)), "-5");
        assert_eq!(cell(&Value::Null), "");
    }
}
