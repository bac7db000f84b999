use aaw_event::prelude::*;

use crate::_users::user_of;

/// A connection goes on over a socket whose token, if it has one, is that of the same user.
pub async fn handler(opened: OpenInfo, services: Services) -> Result<()> {
    let handshake = opened.handshake.ok_or_else(|| Error::new("The handshake is unknown"))?;
    match handshake.cookie("token") {
        Some(token) if Some(user_of(token)?) != services.identity() => Err(Error::new("The token is another user's")),
        _ => Ok(()),
    }
}
