//! Logs the caller in, with an identity that the application provides.

use aaw_event::prelude::*;

pub async fn handler(user: Identity, services: Services) -> Result<LoggedIn> {
    services.authenticate(user).await
}
