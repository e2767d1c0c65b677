//! What of a text leaves the database: passwords are hidden, texts and lists are bounded.

use serde_json::Value;

/// Entries of a list that leave the database.
pub(crate) const MOST: usize = 100;
/// Characters of a text that leave the database.
const LONGEST: usize = 2_000;
/// Names of evidence fields whose texts are passwords, at any depth below. The names are the program's, not
/// the user's.
const PASSWORDS: [&str; 2] = ["password", "passwords"];
/// Names of evidence fields whose texts are `user name:password`, at any depth below.
const CREDENTIALS: [&str; 2] = ["credential", "credentials"];

/// What a text is, and thus what of it is hidden.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hiding {
    Nothing,
    Password,
    Credential,
}

impl Hiding {
    /// The text without its password, and bounded.
    pub fn apply(self, text: &str) -> String {
        match self {
            Self::Nothing => shortened(text),
            Self::Password => hidden_password(text),
            Self::Credential => shortened(&hidden_credential(text)),
        }
    }

    fn below(self, field: &str) -> Self {
        match field {
            _ if PASSWORDS.contains(&field) => Self::Password,
            _ if CREDENTIALS.contains(&field) => Self::Credential,
            _ => self,
        }
    }
}

/// Evidence, or the summary of an analysis, without passwords and bounded: of lists the first 100 entries, of
/// texts the first 2 000 characters. Passwords are the texts below fields that are called `password`,
/// `passwords`, `credential` or `credentials`; the names of fields are never hidden.
pub fn public(evidence: &Value) -> Value {
    hidden(evidence, Hiding::Nothing)
}

fn hidden(value: &Value, hiding: Hiding) -> Value {
    match value {
        Value::String(text) => hiding.apply(text).into(),
        Value::Array(values) => values.iter().take(MOST).map(|value| hidden(value, hiding)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), hidden(value, hiding.below(name)))).collect()
        }
        other => other.clone(),
    }
}

/// The length of a password, and its first character if it has more than 3.
fn hidden_password(password: &str) -> String {
    let length = password.chars().count();
    let first = password.chars().next().filter(|_| length > 3).map_or_else(String::new, String::from);
    format!("{first}… ({length} characters)")
}

/// `user name:password` with the password hidden. A `:` or `\` in the user name has a `\` before it.
fn hidden_credential(credential: &str) -> String {
    let mut escaped = false;
    let end = credential.char_indices().find(|&(_, c)| {
        let ends = c == ':' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map_or_else(
        || hidden_password(credential),
        |(at, _)| format!("{}:{}", &credential[..at], hidden_password(&credential[at + 1..])),
    )
}

pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_password_stays_inside() {
        assert_eq!(hidden_credential(r"ro\:ot:hunter2"), r"ro\:ot:h… (7 characters)");
        assert_eq!(hidden_credential("root:abc"), "root:… (3 characters)");
        assert_eq!(hidden_password("pässwort"), "p… (8 characters)");
    }

    #[test]
    fn passwords_are_hidden_anywhere_in_evidence() {
        let evidence = json!({
            "passwords": ["hunter2", "abc"], "nested": [{ "password": "sécret", "count": 3 }],
            "credentials": { "first": ["root:hunter2"], "hassh": "x:y" }, "commands": ["echo hunter"],
        });
        assert_eq!(
            public(&evidence),
            json!({
                "passwords": ["h… (7 characters)", "… (3 characters)"],
                "nested": [{ "password": "s… (6 characters)", "count": 3 }],
                "credentials": { "first": ["root:h… (7 characters)"], "hassh": "x:… (1 characters)" },
                "commands": ["echo hunter"],
            })
        );
    }
}
