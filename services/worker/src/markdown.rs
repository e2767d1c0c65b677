//! Text of attackers in Markdown.

/// Longest text, in characters.
const LONGEST: usize = 200;

/// A text as code in a table cell. It cannot become a link, markup, HTML, or the end of the cell.
pub(crate) fn code(text: &str) -> String {
    if text.is_empty() {
        return "(empty)".to_owned();
    }
    let safe = boot::safe_up_to(text, LONGEST).replace('`', "\u{2b9}").replace('|', "\\|");
    format!("`{safe}`")
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_an_attacker_wrote_stays_in_its_cell() {
        assert_eq!(
            super::code("a|`<img src=x>\n[x](http://e)"),
            "`a\\|\u{2b9}<img src=x>\\u{a}[x](http://e)`"
        );
    }
}
