//! Passwords: announced by the words before them, or echoed into a command that sets one.

use super::{CUT, LIMIT, Piped, Scanner};

impl Scanner<'_> {
    /// The password that the words before it announced.
    pub(super) fn password(&mut self) -> bool {
        let (from, bytes, c) = (self.at, self.text.as_bytes(), self.byte(self.at));
        if matches!(c, b'"' | b'\'') && self.quote.is_none() {
            let length = memchr::memchr(c, &bytes[from + 1..]);
            let (content, close) = length.map_or((bytes.len() - from - 1, 0), |length| (length, 1));
            self.at = from + 1 + content + close;
            let mark = if c == b'"' { "\"" } else { "'" };
            let token = [mark, if content == 0 { "" } else { "<password>" }, if close == 0 { "" } else { mark }].concat();
            self.emit(&token);
            self.passed();
            return true;
        }
        let ends = |c: u8| c.is_ascii_whitespace() || c.is_ascii_control() || b";|&()<>`\"'".contains(&c);
        let length = bytes[from..].iter().take_while(|c| !ends(**c)).count();
        if length == 0 || c == b'-' || bytes[from..].starts_with(b"$(") {
            return false;
        }
        self.at = from + length;
        self.put("<password>");
        true
    }

    /// What was echoed into a command that sets passwords is one; false when there is no room for it.
    pub(super) fn hide_piped(&mut self) -> bool {
        let Some(Piped { start, end, closes }) = self.piped.take() else { return true };
        let segment = self.out[start..end].trim();
        let echo = ["echo ", "printf "].iter().find(|echo| segment.starts_with(**echo));
        let hidden = if let Some(echo) = echo {
            let mut kept = (*echo).to_owned();
            for flag in segment[echo.len()..].split(' ').take_while(|word| matches!(*word, "-e" | "-n" | "-ne" | "-en" | "-E")) {
                kept.push_str(flag);
                kept.push(' ');
            }
            if kept.len() >= segment.len() {
                return true;
            }
            kept + "<password>"
        } else if closes && segment.len() > 1 {
            format!("<password>{}", &segment[segment.len() - 1..])
        } else {
            return true;
        };
        let space = if self.out[start..end].starts_with(' ') { " " } else { "" };
        let after = if self.out[start..end].ends_with(' ') { " " } else { "" };
        let tail = [space, &hidden, after, &self.out[end..]].concat();
        self.out.truncate(start);
        if start + tail.len() > LIMIT {
            self.out.push_str(CUT);
            self.cut = true;
            return false;
        }
        self.out.push_str(&tail);
        self.start = self.out.len();
        true
    }
}
