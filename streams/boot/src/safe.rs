//! Makes text from attackers safe for a terminal.

use std::fmt::Write as _;

/// Escapes every character that a terminal would interpret or not show: control characters, bidirectional
/// overrides, line separators, zero-width and other invisible characters.
pub fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// As [`safe`], but keeps line breaks and expands tabs: for messages of servers. Lines after the first are
/// indented, so that no text can look like a line of this program.
pub fn safe_lines(text: &str) -> String {
    let lines: Vec<_> = text.trim_end().lines().map(|line| safe(&line.replace('\t', "    "))).collect();
    lines.join("\n  ")
}

/// As [`safe`], but cuts the text after `most` characters and appends how many were cut.
pub fn safe_up_to(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => safe(text),
        Some((end, _)) => format!("{}…(+{} characters)", safe(&text[..end]), text[end..].chars().count()),
    }
}

/// The same JSON in printable ASCII. In valid JSON, non-ASCII characters occur only within strings, and
/// control characters only between values.
pub fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            ' '..='~' => out.push(c),
            '\u{0}'..='\u{1f}' => out.push(' '),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing into a string cannot fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out
}

/// Whether a terminal interprets the character or does not show it.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control() || is_invisible(c)
}

/// Unicode's `Default_Ignorable_Code_Point` and `Bidi_Control`, the line separators, and the marks of
/// interlinear annotation.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_or_hides_reaches_the_terminal() {
        let steering = "\0\u{7}\u{8}\t\n\r\u{1b}\u{7f}\u{80}\u{85}\u{9b}\u{9d}\u{9f}";
        let hiding = "\u{ad}\u{61c}\u{180e}\u{200b}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2060}\u{2066}\u{2069}\u{3164}\u{fe0f}\u{feff}\u{fffb}\u{e0041}";
        for c in steering.chars().chain(hiding.chars()) {
            assert_eq!(safe(&format!("a{c}b")), format!("a\\u{{{:x}}}b", u32::from(c)));
        }
    }

    #[test]
    fn what_people_write_stays_as_it_is() {
        let text = "wget http://[2001:db8::1]/x; echo 'Größe' 漢字 🦀 C:\\x";
        assert_eq!(safe(text), text);
        assert_eq!(safe_up_to(text, 1000), text);
    }

    #[test]
    fn a_message_of_several_lines_is_readable_and_steers_nothing() {
        assert_eq!(
            safe_lines("ERROR: a\r\n\tb\u{1b}[2J\rc\nerror: d\n"),
            "ERROR: a\n      b\\u{1b}[2J\\u{d}c\n  error: d"
        );
    }

    #[test]
    fn long_text_is_cut_with_a_mark_and_never_inside_a_character() {
        assert_eq!(safe_up_to("ééé\u{1b}x", 4), "ééé\\u{1b}…(+1 characters)");
        assert_eq!(safe_up_to("ééé", 3), "ééé");
    }
}
