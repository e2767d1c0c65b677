//! Parts of a finding that all analyses share.

pub use findings::SessionName;

/// Writes user name and password as one text, like the dimension `credential` of the windows:
/// `user:password`, with a `\` before each `:` and `\` of the user name.
pub fn credential(username: &str, password: &str) -> String {
    format!("{}:{password}", username.replace('\\', "\\\\").replace(':', "\\:"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_end_of_a_user_name_is_unambiguous() {
        assert_eq!(super::credential("x\\", "y:z"), "x\\\\:y:z");
        assert_eq!(super::credential("a:b", "c"), "a\\:b:c");
    }
}
