//! Quotes paths in commands that a person may copy into a shell.

use std::{fmt::Write as _, os::unix::ffi::OsStrExt, path::Path};

use crate::safe::is_hidden;

/// A path as one word of a shell: unchanged if it is harmless, otherwise quoted. Characters that a terminal
/// would interpret or not show are escaped as bash, zsh and POSIX 2024 understand it.
pub fn quoted(path: &Path) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "_./-+:@,".contains(c);
    match path.to_str() {
        Some(text) if !text.is_empty() && text.chars().all(harmless) => text.to_owned(),
        Some(text) if !text.chars().any(is_hidden) => format!("'{}'", text.replace('\'', r"'\''")),
        _ => format!("$'{}'", escaped(path.as_os_str().as_bytes())),
    }
}

fn escaped(path: &[u8]) -> String {
    let mut out = String::new();
    let octal = |out: &mut String, bytes: &[u8]| {
        for byte in bytes {
            // Writing into a string cannot fail.
            let _ = write!(out, "\\{byte:03o}");
        }
    };
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' | '\'' => out.extend(['\\', c]),
                c if is_hidden(c) => octal(&mut out, c.encode_utf8(&mut [0; 4]).as_bytes()),
                c => out.push(c),
            }
        }
        octal(&mut out, chunk.invalid());
    }
    out
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn a_shell_reads_a_quoted_path_as_it_was() {
        let texts = [
            "/var/lib/cowriestream",
            "my data",
            "it's here",
            "$HOME/*",
            "a\tb\n'c'\\",
            "-x",
            "~",
            "",
            "größe",
            "\u{1b}[31m",
            "a\u{85}\u{202e}b",
        ];
        let paths = texts.iter().map(|text| text.as_bytes()).chain([&b"\xff 'x'"[..]]);
        for path in paths {
            let command = format!("printf %s {}", quoted(Path::new(OsStr::from_bytes(path))));
            let out = std::process::Command::new("bash").args(["-c", &command]).output().unwrap();
            assert_eq!(out.stdout, path, "{command}");
            assert_eq!(crate::safe(&command), command);
        }
        assert_eq!(quoted(Path::new("/var/lib/x")), "/var/lib/x");
        assert_eq!(quoted(Path::new("my data")), "'my data'");
    }
}
