//! How many are connected: now, and whenever that changes.

use aaw_event::prelude::*;

use crate::_services::Visitors;

pub fn handler(_: Empty, services: Services<Visitors>) -> impl Stream<Item = usize> {
    stream! {
        let mut here = services.here();
        loop {
            let now = *here.borrow_and_update();
            yield now;
            if here.changed().await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn the_number_comes_at_once_and_when_it_changes() {
        let services = Services::for_test(crate::_services::services());
        let mut online = pin!(handler(Empty, services.clone()));
        assert_eq!(online.next().await, Some(0));
        services.come();
        services.come();
        assert_eq!(online.next().await, Some(2));
        services.go();
        assert_eq!(online.next().await, Some(1));
    }
}
