//! The rules for event names, as `aaw_protocol::EventName` defines them.
//!
//! They are repeated here since a dependency on aaw-protocol would compile serde, serde_json and bytes a second time,
//! for the build script, in every events package. A test checks that both agree.

/// The maximum length of an event name, in bytes.
const MAX_LEN: usize = 200;

/// Checks that `name` is a valid event name.
///
/// # Errors
/// The rule that the name violates, as the author of the file reads it.
pub(crate) fn check(name: &str) -> Result<(), String> {
    if name.len() > MAX_LEN {
        let start: String = name.chars().take(40).collect();
        return Err(format!("the name that starts with {start:?} has more than {MAX_LEN} bytes"));
    }
    for part in name.split('/') {
        let Some(first) = part.chars().next() else {
            return Err(format!("the name {name:?} has an empty part; expected parts like users/get"));
        };
        if let Some(found) = part.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))) {
            return Err(format!(
                "the name {name:?} contains {found:?}; expected ASCII letters, digits, '-', '_' and '.'"
            ));
        }
        if !first.is_ascii_alphanumeric() {
            return Err(format!("in the name {name:?} the part {part:?} must begin with an ASCII letter or digit"));
        }
    }
    Ok(())
}

/// Returns whether the name is reserved for aaw: `aaw`, or `aaw/…`.
pub(crate) fn is_reserved(name: &str) -> bool {
    name == "aaw" || name.starts_with("aaw/")
}

#[cfg(test)]
mod tests {
    use aaw_protocol::EventName;

    #[test]
    fn the_rules_and_their_texts_are_those_of_the_protocol() {
        let longest = "a".repeat(200);
        let too_long = format!("{longest}a");
        for name in [
            "ping",
            "users/get",
            "v1.2/x",
            "get-user",
            "get_user",
            "0",
            "auth",
            "aaw",
            "aaw/x",
            "aawx",
            "a/aaw",
            &longest,
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "..",
            "../ping",
            "_hidden",
            ".x",
            "-x",
            "a b",
            "å",
            "a\\b",
            "a\0",
            &too_long,
        ] {
            let expected = EventName::parse(name);
            assert_eq!(super::check(name), expected.as_ref().map(|_| ()).map_err(ToString::to_string), "{name:?}");
            if let Ok(expected) = expected {
                assert_eq!(super::is_reserved(name), expected.is_reserved(), "{name:?}");
            }
        }
    }
}
