//! Tables for people and for programs.

use serde::Serialize;

/// A caption, a header, and rows.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    caption: String,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(caption: &str, head: impl IntoIterator<Item = String>) -> Self {
        Self { caption: caption.to_owned(), head: head.into_iter().collect(), rows: Vec::new() }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub fn print(&self) {
        let widths: Vec<usize> = (0..self.head.len())
            .map(|i| {
                self.rows
                    .iter()
                    .chain([&self.head])
                    .map(|row| row.get(i).map_or(0, |cell| cell.chars().count()))
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let line = |row: &[String]| {
            let cells: Vec<String> =
                widths.iter().zip(row).map(|(&width, cell)| format!("{cell:width$}")).collect();
            format!("| {} |", cells.join(" | "))
        };
        boot::say!("\n{}\n", self.caption);
        boot::say!("{}", line(&self.head));
        boot::say!("|{}|", widths.iter().map(|width| "-".repeat(width + 2)).collect::<Vec<_>>().join("|"));
        for row in &self.rows {
            boot::say!("{}", line(row));
        }
    }
}

pub fn number(value: f64) -> String {
    format!("{value:.3}")
}

/// Formats with three digits, or as a dash.
pub fn perhaps(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), number)
}

/// Formats a share, or a dash if `whole` is 0.
pub fn share(part: usize, whole: usize) -> String {
    if whole == 0 { "-".to_owned() } else { number(part as f64 / whole as f64) }
}
