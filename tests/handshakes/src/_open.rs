use aaw_event::prelude::*;

use crate::_users::user_of;

/// Logs the caller in by a token in a header, a cookie or the query. A connection without a token opens, too.
pub async fn handler(opened: OpenInfo, services: Services) -> Result<()> {
    let handshake = services.handshake()?;
    assert_eq!(opened.handshake.as_ref(), Some(&handshake));
    let bearer = handshake.header("Authorization").and_then(|value| value.strip_prefix("Bearer "));
    let token = bearer.or(handshake.cookie("token")).map(str::to_owned).or_else(|| handshake.query("token"));
    if let Some(token) = token {
        services.authenticate(user_of(&token)?).await?;
    }
    Ok(())
}
