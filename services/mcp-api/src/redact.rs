//! What of a text leaves for a principal without `secrets:read`.

use serde_json::{Value, json};
use web::{Principal, Scope};

/// Whether a principal may read passwords in full.
pub(crate) fn sees_secrets(who: &Principal) -> bool {
    who.scopes.contains(&Scope::SecretsRead)
}

/// A password, hidden unless the principal may read it: its length, and the first character of a longer one.
pub(crate) fn password(who: &Principal, text: String) -> String {
    hidden(who, "password", text)
}

/// `username:password`, with the password hidden unless the principal may read it.
pub(crate) fn credential(who: &Principal, text: String) -> String {
    hidden(who, "credential", text)
}

fn hidden(who: &Principal, field: &str, text: String) -> String {
    if sees_secrets(who) {
        return text;
    }
    let public = findings::public(&json!({ field: text }));
    public[field].as_str().unwrap_or_default().to_owned()
}

/// Evidence of a finding.
pub(crate) fn evidence(who: &Principal, value: Value) -> Value {
    if sees_secrets(who) { value } else { findings::public(&value) }
}

/// The line of an event. Cowrie repeats the password of a login in `message`.
pub(crate) fn payload(who: &Principal, eventid: &str, mut value: Value) -> Value {
    if sees_secrets(who) {
        return value;
    }
    if let Some(fields) = value.as_object_mut()
        && (eventid.starts_with("cowrie.login.") || fields.contains_key("password"))
    {
        fields.remove("message");
    }
    findings::public(&value)
}
