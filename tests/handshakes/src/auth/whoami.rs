use aaw_event::prelude::*;

pub async fn handler(_: Empty, services: Services) -> Option<String> {
    services.identity().map(|user| user.id)
}
