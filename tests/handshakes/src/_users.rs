//! The users of the application, which it verifies itself.

use aaw_event::prelude::*;

/// The user of a token: `valid-NAME`.
pub(crate) fn user_of(token: &str) -> Result<Identity> {
    let name = token.strip_prefix("valid-").ok_or_else(|| Error::new("The token is invalid"))?;
    Ok(Identity::new(name, format!("{name}@example.org")))
}
