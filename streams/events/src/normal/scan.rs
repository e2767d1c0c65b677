//! One pass over a command, from left to right.
//!
//! **Invariant** (why normalising is idempotent): a token is either emitted unchanged or replaced as a whole
//! by a placeholder. Placeholders are tokens themselves. The state kept between tokens depends only on what
//! was emitted. Where a decision depends on the next character, `<` decides like the text that a placeholder
//! may have replaced.

mod address;
mod password;

use super::{
    known,
    program::Program,
    word::{self, Look},
};

/// All placeholders, to recognise them in a command that was already normalised.
const PLACEHOLDERS: [&str; 11] = [
    "<url>",
    "<ip>",
    "<email>",
    "<hex>",
    "<base64>",
    "<sshkey>",
    "<random>",
    "<file>",
    "<password>",
    "<n>",
    CUT,
];
pub(super) const CUT: &str = "<cut>";

/// Longest normalised command in bytes, without `<cut>`.
pub(super) const LIMIT: usize = 4096;

/// Number of names of fetched files that are remembered.
const NAMES: usize = 8;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Anything,
    File,
    Password,
}

#[derive(Clone, Copy)]
struct Piped {
    start: usize,
    end: usize,
    /// Its last character closes a quotation that started on an earlier line.
    closes: bool,
}

pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    out: String,
    /// White space not yet written: none, a space, or a line end.
    gap: Option<char>,
    program: Program,
    expected: Expected,
    redirected: bool,
    /// Position in `out` of the last redirection.
    turned: usize,
    /// The open quotation mark, and its position in `out`.
    quote: Option<(u8, usize)>,
    /// Start of the current command in `out`.
    start: usize,
    /// The command that is piped into the next one.
    piped: Option<Piped>,
    names: [&'a str; NAMES],
    named: usize,
    cut: bool,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            out: String::with_capacity(text.len().min(LIMIT) + 16),
            gap: None,
            program: Program::Awaited,
            expected: Expected::Anything,
            redirected: false,
            turned: 0,
            quote: None,
            start: 0,
            piped: None,
            names: [""; NAMES],
            named: 0,
            cut: false,
        }
    }

    pub(super) fn run(mut self) -> String {
        while !self.cut && self.at < self.text.len() {
            self.token();
        }
        self.out
    }

    fn byte(&self, at: usize) -> u8 {
        self.text.as_bytes().get(at).copied().unwrap_or(0)
    }

    fn token(&mut self) {
        let c = self.byte(self.at);
        if c < 0x80 {
            if self.expected == Expected::Password && self.password() {
                return;
            }
            match c {
                b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c => {
                    self.space(if c == b'\n' { '␤' } else { ' ' }, 1)
                }
                b'<' => self.less(),
                b'\\' => self.backslash(),
                b'$' => self.dollar(),
                b'"' | b'\'' => self.quotation(c),
                b':' if self.byte(self.at + 1) == b':' && self.ipv6() => {}
                _ if is_word(c) => self.word(),
                _ if c.is_ascii_control() => self.invisible(c),
                _ => self.mark(c),
            }
            return;
        }
        let Some(c) = self.text[self.at..].chars().next() else { return };
        let mut shown = [0; 4];
        match c {
            '␤' => self.space('␤', c.len_utf8()),
            _ if c.is_whitespace() => self.space(' ', c.len_utf8()),
            _ if is_break(c) => {
                self.at += c.len_utf8();
                self.emit(if is_unseen(c) { "\u{fffd}" } else { c.encode_utf8(&mut shown) });
            }
            _ => self.word(),
        }
    }

    fn space(&mut self, gap: char, length: usize) {
        self.at += length;
        if !self.out.is_empty() && self.gap != Some('␤') {
            self.gap = Some(gap);
        }
        if gap == '␤' {
            self.piped = None;
            (self.program, self.expected, self.redirected) = (Program::Awaited, Expected::Anything, false);
        }
    }

    /// Writes the pending white space and one token. Returns false when the limit is reached; nothing more is
    /// written then.
    fn emit(&mut self, token: &str) -> bool {
        if self.cut {
            return false;
        }
        let gap = self.gap.take();
        let room = self.out.len() + gap.map_or(0, char::len_utf8) + token.len() <= LIMIT;
        if let Some(gap) = gap {
            self.out.push(gap);
            if gap == '␤' && self.quote.is_none() {
                self.start = self.out.len();
            }
        }
        self.out.push_str(if room { token } else { CUT });
        self.cut |= !room;
        room
    }

    /// Writes a placeholder, unless it would repeat the one before it.
    fn put(&mut self, placeholder: &str) {
        if self.gap != Some(' ') || !self.out.ends_with(placeholder) {
            self.emit(placeholder);
        }
        self.gap = None;
        self.passed();
    }

    fn less(&mut self) {
        if self.program == Program::Passwords && self.heredoc() {
            return;
        }
        let rest = &self.text[self.at..];
        let Some(placeholder) = PLACEHOLDERS.iter().find(|placeholder| rest.starts_with(**placeholder))
        else {
            return self.mark(b'<');
        };
        if *placeholder == CUT {
            // The limit was reached here when the text was first normalised.
            if let Some(gap) = self.gap.take() {
                self.out.push(gap);
            }
            self.out.push_str(CUT);
            self.cut = true;
            return;
        }
        self.at += placeholder.len();
        self.put(placeholder);
    }

    fn quotation(&mut self, c: u8) {
        self.at += 1;
        self.emit(if c == b'"' { "\"" } else { "'" });
        self.quote = match self.quote {
            None => Some((c, self.out.len())),
            Some((open, _)) if open == c => None,
            other => other,
        };
    }

    /// Any other mark: it ends a command, redirects output, or is kept as it is.
    fn mark(&mut self, c: u8) {
        let from = self.at;
        self.at += 1;
        let again = self.gap.is_none() && self.out.as_bytes().last() == Some(&c);
        let turned = c == b'&' && self.redirected && self.gap.is_none();
        let closes =
            c == b'|' && self.gap.is_none() && self.quote.is_some_and(|(_, at)| at == self.out.len());
        if closes {
            self.quote = None;
        }
        let text = self.text;
        if !self.emit(&text[from..self.at]) {
            return;
        }
        match c {
            b'>' => {
                if !(self.redirected && again) {
                    self.turned = self.out.len() - 1;
                }
                self.redirected = true;
            }
            b'<' if self.program == Program::Passwords && self.out.ends_with("<<<") => {
                self.expected = Expected::Password
            }
            b';' | b'|' | b'&' | b'(' | b')' | b'{' | b'}' | b'`' if !turned => {
                (self.program, self.expected, self.redirected) =
                    (Program::Awaited, Expected::Anything, false);
                let pipe = c == b'|' && !again && self.quote.is_none();
                self.piped = pipe.then_some(Piped { start: self.start, end: self.out.len() - 1, closes });
                if self.quote.is_none() {
                    self.start = self.out.len();
                }
            }
            _ => {}
        }
    }

    fn invisible(&mut self, c: u8) {
        self.at += 1;
        let picture =
            char::from_u32(if c == 0x7f { 0x2421 } else { 0x2400 + u32::from(c) }).unwrap_or('\u{fffd}');
        self.emit(picture.encode_utf8(&mut [0; 4]));
    }

    /// Bytes written as `\x7f` or `\177`, with printable characters between them; or backslashes.
    fn backslash(&mut self) {
        let (from, bytes) = (self.at, self.text.as_bytes());
        let run = bytes[from..].iter().take_while(|c| **c == b'\\').count();
        let next = from + run;
        let digits = |at: usize, most: usize| {
            bytes[at.min(bytes.len())..].iter().take(most).take_while(|c| c.is_ascii_digit()).count()
        };
        let hex = self.byte(next) == b'x' && self.byte(next + 1).is_ascii_hexdigit();
        if hex || digits(next, 3) == 3 {
            let length = bytes[next..]
                .iter()
                .take_while(|c| !c.is_ascii_whitespace() && !b"\"'`/;|&<>()".contains(c))
                .count();
            self.at = self.boundary(next + length);
            return self.put("<hex>");
        }
        // After an odd number of backslashes, the mark is escaped and not a quotation mark.
        self.at = if run % 2 == 1 && matches!(self.byte(next), b'"' | b'\'') { next + 1 } else { next };
        let text = self.text;
        self.emit(&text[from..self.at]);
    }

    fn boundary(&self, mut at: usize) -> usize {
        while !self.text.is_char_boundary(at) {
            at += 1;
        }
        at
    }

    /// A password's hash (`$1$salt$hash`), or the name of a variable, which is kept.
    fn dollar(&mut self) {
        let (from, bytes) = (self.at, self.text.as_bytes());
        let kind = bytes[from + 1..].iter().take(2).take_while(|c| c.is_ascii_alphanumeric()).count();
        if kind > 0 && self.byte(from + 1 + kind) == b'$' {
            let hash = bytes[from + 2 + kind..]
                .iter()
                .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'/' | b'$'))
                .count();
            if hash >= 8 {
                self.at = from + 2 + kind + hash;
                return self.put("<password>");
            }
        }
        let brace = usize::from(self.byte(from + 1) == b'{');
        let name =
            bytes[from + 1 + brace..].iter().take_while(|c| c.is_ascii_alphanumeric() || **c == b'_').count();
        self.at = from + 1 + if name == 0 { 0 } else { brace + name };
        let text = self.text;
        self.emit(&text[from..self.at]);
        self.passed();
    }

    /// Updates the state after a token that was an argument, or the program itself.
    fn passed(&mut self) {
        self.redirected = false;
        if self.program != Program::OpensslPasswd {
            self.expected = Expected::Anything;
        }
        if matches!(self.program, Program::Awaited | Program::Busybox) {
            self.program = Program::Other;
        }
    }

    fn word_end(&self, from: usize) -> usize {
        let (text, bytes) = (self.text, self.text.as_bytes());
        let mut end = from + bytes[from..].iter().take_while(|c| is_word(**c)).count();
        while self.byte(end) >= 0x80 {
            let Some(c) = text[end..].chars().next().filter(|c| !is_break(*c)) else { break };
            end += c.len_utf8();
            end += bytes[end..].iter().take_while(|c| is_word(**c)).count();
        }
        end
    }

    fn word(&mut self) {
        let (from, text) = (self.at, self.text);
        let end = self.word_end(from);
        let word = &text[from..end];
        self.at = end;
        if self.byte(end) == b':' && (self.url(word) || (word.len() <= 4 && self.retry_ipv6(from, end))) {
            return;
        }
        if self.byte(end) == b'@' && self.mailbox(word) {
            return;
        }
        if word.starts_with('-') {
            return self.flag(word);
        }
        if let Some(length) = word::ipv4(word) {
            return self.address(&word[length..]);
        }
        if self.opened(from, word) {
            return;
        }
        let look = word::look(word);
        match look {
            Look::Number => self.number(word),
            Look::Key => self.blob("<sshkey>"),
            Look::Base64 => self.blob("<base64>"),
            Look::Hex => self.put("<hex>"),
            Look::File
                if self.program == Program::Web
                    && self.expected != Expected::File
                    && word.contains('/')
                    && !word.starts_with(['/', '.', '~']) =>
            {
                self.remember(word);
                self.put("<url>");
            }
            Look::File if self.program == Program::Text && self.quote.is_some() => self.keep(word),
            Look::File => self.file(word),
            Look::System => self.keep(word),
            Look::Plain | Look::Random => self.name(word, look),
        }
    }

    /// Remembers the last name in a link, which is likely to occur again as a file.
    fn remember(&mut self, path: &'a str) {
        let name = path.rsplit('/').next().unwrap_or(path);
        if !name.is_empty() && name.len() <= 64 && !self.names.contains(&name) {
            self.names[self.named % NAMES] = name;
            self.named += 1;
        }
    }

    fn blob(&mut self, placeholder: &str) {
        self.at += self.text.as_bytes()[self.at..].iter().take(2).take_while(|c| **c == b'=').count();
        self.put(placeholder);
    }

    /// A number that is a word, unless it is a file mode or a stream number.
    fn number(&mut self, word: &'a str) {
        if self.byte(self.at) == b'>' {
            let text = self.text;
            self.at += 1;
            self.emit(&text[self.at - 1 - word.len()..self.at]);
            self.passed();
            (self.redirected, self.turned) = (true, self.out.len() - 1);
        } else if self.program == Program::Chmod
            || (self.redirected && self.gap.is_none() && self.out.ends_with('&'))
        {
            self.keep(word);
        } else {
            self.put("<n>");
        }
    }

    fn file(&mut self, word: &'a str) {
        if !self.hide_noted(word) {
            return;
        }
        self.remember(word);
        self.put("<file>");
    }

    fn flag(&mut self, flag: &str) {
        if self.program == Program::Account && flag.len() > 2 && flag.starts_with("-p") {
            self.emit("-p");
            return self.put("<password>");
        }
        self.emit(flag);
        self.redirected = false;
        self.expected = match self.program {
            Program::Web if matches!(flag, "-O" | "-o" | "-qO" | "-sO") => Expected::File,
            Program::Tftp if matches!(flag, "-r" | "-l") => Expected::File,
            Program::Account if flag == "-p" => Expected::Password,
            Program::Web if matches!(flag, "-u" | "--user") => Expected::Password,
            _ if matches!(flag, "--password" | "--http-password" | "--ftp-password") => Expected::Password,
            Program::OpensslPasswd => Expected::Password,
            _ => Expected::Anything,
        };
        if self.program == Program::Interpreter && matches!(flag, "-c" | "-lc" | "-e" | "-m") {
            self.program = Program::Awaited;
        }
    }

    /// A bare name. The command decides whether it is a file.
    fn name(&mut self, word: &'a str, look: Look) {
        let bare = word.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.'));
        let named = match self.program {
            Program::Busybox => {
                if bare && !known::is_applet(word) {
                    return self.put("<random>");
                }
                false
            }
            Program::Awaited => false,
            Program::Chmod => bare && !word.bytes().all(|c| b"ugo".contains(&c)) && !self.out.ends_with('='),
            Program::Files | Program::Interpreter => bare,
            Program::Web | Program::Tftp if bare && self.expected == Expected::Anything && is_host(word) => {
                return self.put(if self.program == Program::Web { "<url>" } else { "<ip>" });
            }
            _ => self.names[..self.named.min(NAMES)].contains(&word),
        };
        if named || (bare && (self.redirected || self.expected == Expected::File)) {
            return self.file(word);
        }
        if look == Look::Random { self.put("<random>") } else { self.keep(word) }
    }

    fn keep(&mut self, word: &str) {
        if matches!(self.program, Program::Awaited | Program::Busybox) {
            let name = word.rsplit('/').next().unwrap_or(word);
            self.program = Program::named(name);
            if matches!(name, "passwd" | "chpasswd") && !self.hide_piped() {
                return;
            }
        }
        self.redirected = false;
        self.expected = match self.program {
            Program::Tftp if word == "get" => Expected::File,
            Program::Openssl if word == "passwd" => {
                self.program = Program::OpensslPasswd;
                Expected::Password
            }
            Program::OpensslPasswd => Expected::Password,
            _ => Expected::Anything,
        };
        self.emit(word);
    }
}

/// `evil.example`: a name with a dot whose last part has only letters.
fn is_host(word: &str) -> bool {
    word.rsplit_once('.').is_some_and(|(host, end)| {
        !host.is_empty() && end.len() >= 2 && end.bytes().all(|c| c.is_ascii_alphabetic())
    })
}

fn is_word(c: u8) -> bool {
    WORD[usize::from(c)]
}

/// The characters of words, as a table, because finding the end of a word takes most of the time.
const WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut c = 0_u8;
    while c < 128 {
        table[c as usize] =
            c.is_ascii_alphanumeric() || matches!(c, b'.' | b'/' | b'_' | b'-' | b'+' | b'~' | b'%');
        c += 1;
    }
    table
};

/// Characters that are invisible, or change the direction of the text around them.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Non-ASCII characters that are not part of a word, including the replacements of invisible characters.
fn is_break(c: char) -> bool {
    c.is_whitespace() || is_unseen(c) || matches!(c, '\u{2400}'..='\u{2426}' | '\u{fffd}')
}
