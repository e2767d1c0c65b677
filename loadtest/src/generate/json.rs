//! Writes JSON like Python's `json`: ASCII only, keys in the given order, with or without spaces.

#[derive(Debug)]
pub struct Json {
    pub out: Vec<u8>,
    spaced: bool,
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl Json {
    /// Begins an object. `spaced` writes `": "` and `", "` instead of `":"` and `","`.
    pub fn new(spaced: bool) -> Self {
        let mut out = Vec::with_capacity(640);
        out.push(b'{');
        Self { out, spaced }
    }

    pub fn end(mut self) -> Vec<u8> {
        self.out.push(b'}');
        self.out
    }

    /// Writes the key and everything up to the value.
    pub fn key(&mut self, key: &str) -> &mut Self {
        if self.out.len() > 1 {
            self.comma();
        }
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(if self.spaced { b"\": " } else { b"\":" });
        self
    }

    /// Writes the comma between two values.
    pub fn comma(&mut self) {
        self.out.extend_from_slice(if self.spaced { b", " } else { b"," });
    }

    pub fn text(&mut self, key: &str, value: &str) {
        self.key(key).quoted(value);
    }

    /// A text as the value.
    pub fn quoted(&mut self, value: &str) {
        self.out.push(b'"');
        self.part(value);
        self.out.push(b'"');
    }

    /// Writes a value as it is: a number, `true`, `[]`.
    pub fn raw(&mut self, key: &str, value: &str) {
        self.key(key).out.extend_from_slice(value.as_bytes());
    }

    pub fn number(&mut self, key: &str, value: u64) {
        self.key(key).digits(value);
    }

    /// Writes a list of the comma-separated texts.
    pub fn list(&mut self, key: &str, commas: &str) {
        self.key(key).out.push(b'[');
        for (i, item) in commas.split(',').enumerate() {
            if i > 0 {
                self.comma();
            }
            self.quoted(item);
        }
        self.out.push(b']');
    }

    /// Writes a text composed of parts.
    pub fn parts(&mut self, key: &str, parts: &[&str]) {
        self.key(key).out.push(b'"');
        parts.iter().for_each(|part| self.part(part));
        self.out.push(b'"');
    }

    fn digits(&mut self, mut value: u64) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (value % 10) as u8;
            value /= 10;
            if value == 0 {
                break;
            }
        }
        self.out.extend_from_slice(&digits[at..]);
    }

    /// Writes escaped text without the quotes.
    fn part(&mut self, text: &str) {
        let mut plain = 0;
        for (at, c) in text.char_indices() {
            if matches!(c, ' '..='~') && c != '"' && c != '\\' {
                continue;
            }
            self.out.extend_from_slice(&text.as_bytes()[plain..at]);
            self.escaped(c);
            plain = at + c.len_utf8();
        }
        self.out.extend_from_slice(&text.as_bytes()[plain..]);
    }

    fn escaped(&mut self, c: char) {
        let short = match c {
            '"' => b'"',
            '\\' => b'\\',
            '\n' => b'n',
            '\r' => b'r',
            '\t' => b't',
            '\u{8}' => b'b',
            '\u{c}' => b'f',
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let digit = |shift: u32| HEX[usize::from(*unit >> shift & 15)];
                    self.out.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
                }
                return;
            }
        };
        self.out.extend_from_slice(&[b'\\', short]);
    }
}

/// Bytes as Python prints them between the quotes: `\x00`, `\r`, `\\`, `\'`.
pub fn repr(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 3);
    for &byte in bytes {
        match byte {
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            b'\\' => text.push_str("\\\\"),
            b'\'' => text.push_str("\\'"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                text.push_str("\\x");
                text.push(char::from(HEX[usize::from(byte >> 4)]));
                text.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
    text
}

/// `digits` hexadecimal digits that depend on the whole number.
pub fn hex(mut number: u64, digits: usize) -> String {
    let mut text = String::with_capacity(digits);
    while text.len() < digits {
        number = number.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let mixed = number ^ (number >> 29);
        (0..16.min(digits - text.len()))
            .for_each(|i| text.push(char::from(HEX[(mixed >> (60 - 4 * i) & 15) as usize])));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_as_python_does() {
        let mut json = Json::new(true);
        json.text("a", "\"\\\n\0\u{feff}\u{1f600}~\u{7f}");
        json.number("b", 120);
        json.list("c", "x,y");
        let expected = r#"{"a": "\"\\\n\u0000\ufeff\ud83d\ude00~\u007f", "b": 120, "c": ["x", "y"]}"#;
        assert_eq!(String::from_utf8(json.end()).unwrap(), expected);
        assert_eq!(repr(b"\x16\x03'\\\r\nGET"), r"\x16\x03\'\\\r\nGET");
    }
}
