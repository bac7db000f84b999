//! Returns the identity of the caller. The event is below `auth/`, so the caller has a session.

use aaw_event::prelude::*;

pub async fn handler(_: Empty, services: Services) -> Option<Identity> {
    services.identity()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_identity_is_that_of_the_session() {
        let ada = Identity::new("1", "ada@example.org");
        let services = Services::for_test(()).with_identity(ada.clone());
        assert_eq!(handler(Empty, services).await, Some(ada));
    }
}
