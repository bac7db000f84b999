//! Who calls. Below `auth/`, so only who has a session gets here.

use aaw_event::prelude::*;

pub async fn handler(_: Empty, services: Services) -> Option<Identity> {
    services.identity()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_the_sessions() {
        let ada = Identity::new("1", "ada@example.org");
        let services = Services::for_test(()).with_identity(ada.clone());
        assert_eq!(handler(Empty, services).await, Some(ada));
    }
}
