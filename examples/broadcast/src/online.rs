//! Yields the number of connections: now, and after each change.

use aaw_event::prelude::*;

use crate::_services::Online;

pub fn handler(_: Empty, services: Services<Online>) -> impl Stream<Item = usize> {
    stream! {
        let mut count = services.subscribe();
        loop {
            let now = *count.borrow_and_update();
            yield now;
            if count.changed().await.is_err() {
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
    async fn the_count_is_yielded_at_once_and_after_each_change() {
        let services = Services::for_test(crate::_services::services());
        let mut online = pin!(handler(Empty, services.clone()));
        assert_eq!(online.next().await, Some(0));
        services.increment();
        services.increment();
        assert_eq!(online.next().await, Some(2));
        services.decrement();
        assert_eq!(online.next().await, Some(1));
    }
}
