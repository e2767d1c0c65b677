//! Passwords: a word that follows an option for passwords, or text echoed into a command that sets one.

use super::{CUT, LIMIT, Piped, Scanner};

impl Scanner<'_> {
    /// The password that the previous words led to expect.
    pub(super) fn password(&mut self) -> bool {
        let (from, bytes, c) = (self.at, self.text.as_bytes(), self.byte(self.at));
        if matches!(c, b'"' | b'\'') && self.quote.is_none() {
            let length = memchr::memchr(c, &bytes[from + 1..]);
            let (content, close) = length.map_or((bytes.len() - from - 1, 0), |length| (length, 1));
            self.at = from + 1 + content + close;
            let mark = if c == b'"' { "\"" } else { "'" };
            let token =
                [mark, if content == 0 { "" } else { "<password>" }, if close == 0 { "" } else { mark }]
                    .concat();
            self.emit(&token);
            self.passed();
            return true;
        }
        if c == b'=' && self.gap.is_none() {
            self.at += 1;
            self.emit("=");
            return true;
        }
        let ends = |c: u8| c.is_ascii_whitespace() || c.is_ascii_control() || b";|&()<>`\"'".contains(&c);
        let length = bytes[from..].iter().take_while(|c| !ends(**c)).count();
        if length == 0
            || c == b'-'
            || bytes[from..].starts_with(b"$(")
            || bytes[from..].starts_with(b"$<cut>")
        {
            return false;
        }
        self.at = from + length;
        self.put("<password>");
        true
    }

    /// `<<EOF`, the lines up to `EOF`, and `EOF`. The lines are a password. If `EOF` is missing, all of the
    /// remaining text is.
    pub(super) fn heredoc(&mut self) -> bool {
        let (rest, space) = (&self.text[self.at..], |c: char| c.is_whitespace() && c != '\n');
        let Some(quoted) = rest
            .strip_prefix("<<")
            .map(|rest| rest.strip_prefix('-').unwrap_or(rest).trim_start_matches(space))
        else {
            return false;
        };
        let named = quoted.strip_prefix(['"', '\'', '\\']).unwrap_or(quoted);
        let (end, lines) =
            named.split_at(named.bytes().take_while(|c| c.is_ascii_alphanumeric() || *c == b'_').count());
        let lines = lines.strip_prefix(['"', '\'']).unwrap_or(lines).trim_start_matches(space);
        if end.is_empty() || !lines.starts_with(['\n', '␤']) {
            return false;
        }
        let closed = lines.match_indices(['\n', '␤']).find_map(|(at, mark)| {
            let line = lines[at + mark.len()..].trim_start_matches(space);
            line.strip_prefix(end)
                .filter(|after| !after.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        });
        self.at = self.text.len() - closed.map_or(0, str::len);
        let token = [
            "<<",
            end,
            "␤<password>",
            if closed.is_some() { "␤" } else { "" },
            if closed.is_some() { end } else { "" },
        ]
        .concat();
        self.emit(&token);
        self.passed();
        true
    }

    /// Replaces the command that was piped into a command that sets passwords. Returns false when the limit
    /// is reached.
    pub(super) fn hide_piped(&mut self) -> bool {
        let Some(Piped { start, end, closes }) = self.piped.take() else { return true };
        let segment = self.out[start..end].trim();
        let hidden = match echoed(segment) {
            Some(hidden) => hidden,
            None if closes && segment.len() > 1 => format!("<password>{}", &segment[segment.len() - 1..]),
            None => return true,
        };
        let length = self.out.len();
        if !self.replace(start, end, &hidden) {
            return false;
        }
        // Both positions are after the pipe.
        self.start = self.start + self.out.len() - length;
        self.quote = self.quote.map(|(mark, at)| (mark, at + self.out.len() - length));
        true
    }

    /// One group of attackers writes the username and password of the session to this file.
    pub(super) fn hide_noted(&mut self, file: &str) -> bool {
        let noted =
            file == "/tmp/up.txt" && self.redirected && self.quote.is_none() && self.turned > self.start;
        match echoed(self.out[self.start..if noted { self.turned } else { self.start }].trim()) {
            Some(hidden) => self.replace(self.start, self.turned, &hidden),
            None => true,
        }
    }

    /// Replaces a command, but keeps the spaces around it. Returns false when that made the text too long.
    fn replace(&mut self, start: usize, end: usize, hidden: &str) -> bool {
        let [before, after] = [self.out[start..end].starts_with(' '), self.out[start..end].ends_with(' ')]
            .map(|space| if space { " " } else { "" });
        let tail = [before, hidden, after, &self.out[end..]].concat();
        self.out.truncate(start);
        self.cut = start + tail.len() > LIMIT;
        self.out.push_str(if self.cut { CUT } else { &tail });
        !self.cut
    }
}

/// If the command echoes something, the same command echoing `<password>`.
fn echoed(command: &str) -> Option<String> {
    let mut kept =
        ["echo ", "printf ", "yes "].into_iter().find(|echo| command.starts_with(echo))?.to_owned();
    for flag in command[kept.len()..]
        .split(' ')
        .take_while(|word| matches!(*word, "-e" | "-n" | "-ne" | "-en" | "-E"))
    {
        kept.push_str(flag);
        kept.push(' ');
    }
    (kept.len() < command.len()).then(|| kept + "<password>")
}
