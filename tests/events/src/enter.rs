//! The application knows who somebody is.

use aaw_event::prelude::*;

pub async fn handler(user: Identity, services: Services) -> Result<LoggedIn> {
    services.authenticate(user).await
}
