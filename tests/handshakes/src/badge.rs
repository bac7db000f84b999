use aaw_event::prelude::*;

use crate::_users::user_of;

/// A log-in by a call.
pub async fn handler(token: String, services: Services) -> Result<LoggedIn> {
    services.authenticate(user_of(&token)?).await
}
