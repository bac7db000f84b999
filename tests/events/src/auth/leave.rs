//! Ends the caller's session.

use aaw_event::prelude::*;

pub async fn handler(_: Empty, services: Services) -> Result<Option<Identity>> {
    services.logout().await?;
    Ok(services.identity())
}
