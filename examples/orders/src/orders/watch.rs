//! Yields the totals of a category: all of them at once, and then each change. The client can send commands in its
//! upload to switch the same stream to another category.

use aaw_event::prelude::*;
use tokio::sync::broadcast::error::RecvError;

use crate::_services::{Order, Shop};

/// The first category.
#[derive(Deserialize)]
pub struct Body {
    category: String,
}

/// An item of the upload: `{"cmd": "update-category", "payload": {"category": "stationery"}}`.
#[derive(Debug, Deserialize)]
#[serde(tag = "cmd", content = "payload", rename_all = "kebab-case")]
pub enum Command {
    UpdateCategory { category: String },
}

pub fn handler(first: Body, services: Services<Shop>, mut commands: Upload<Command>) -> impl Stream<Item = Order> {
    stream! {
        // Part of the state of the stream, so it is dropped with the stream.
        let _guard = services.watch();
        let mut category = first.category;
        let mut upload_is_open = true;
        loop {
            let (totals, mut changes) = services.follow(&category);
            for order in totals {
                yield order;
            }
            // Until all totals have to be sent again.
            loop {
                tokio::select! {
                    command = commands.next(), if upload_is_open => match command {
                        Some(Ok(Command::UpdateCategory { category: other })) => {
                            category = other;
                            break;
                        }
                        // An invalid command does not end the stream.
                        Some(Err(error)) => tracing::warn!(%error, "invalid command"),
                        None => upload_is_open = false,
                    },
                    changed = changes.recv() => match changed {
                        Ok(order) if order.category == category => yield order,
                        Ok(_) => {}
                        // The client is slow and has missed changes. Only the newest totals matter, so send them all.
                        Err(RecvError::Lagged(_)) => break,
                        Err(RecvError::Closed) => return,
                    },
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    fn body(category: &str) -> Body {
        Body { category: category.to_owned() }
    }

    fn to(category: &str) -> Value {
        json!({ "cmd": "update-category", "payload": { "category": category } })
    }

    /// Returns the upload of a client that sends no commands.
    fn no_commands() -> Upload<Command> {
        Upload::for_test([(); 0])
    }

    async fn names(stream: impl Stream<Item = Order>, many: usize) -> Vec<String> {
        stream.take(many).map(|order| format!("{} {}", order.name, order.total)).collect().await
    }

    #[tokio::test]
    async fn all_totals_are_yielded_at_once_and_then_each_change() {
        let services = Services::for_test(Shop::default());
        let mut stream = pin!(handler(body("confectionery"), services.clone(), no_commands()));
        assert_eq!(names(&mut stream, 3).await, ["Chocolate bar 0", "Liquorice 0", "Salted caramels 0"]);

        services.order("E1", 2);
        services.order("C5", 3);
        assert_eq!(names(&mut stream, 1).await, ["Liquorice 3"], "orders of other categories are left out");

        // A second client receives the same totals.
        let other = pin!(handler(body("confectionery"), services.clone(), no_commands()));
        assert_eq!(names(other, 3).await, ["Chocolate bar 0", "Liquorice 3", "Salted caramels 0"]);
    }

    #[tokio::test]
    async fn a_command_switches_the_category_of_the_running_stream() {
        let services = Services::for_test(Shop::default());
        let commands = Upload::for_test([to("stationery")]);
        let mut stream = pin!(handler(body("confectionery"), services.clone(), commands));
        assert_eq!(names(&mut stream, 6).await[3..], ["Fountain pen 0", "Squared paper 0", "Bookmark 0"]);

        services.order("C5", 1);
        services.order("S9", 4);
        assert_eq!(names(&mut stream, 1).await, ["Bookmark 4"]);
    }

    #[tokio::test]
    async fn an_invalid_command_does_not_end_the_stream() {
        let services = Services::for_test(Shop::default());
        let invalid =
            [json!("stationery"), json!({ "cmd": "empty-till" }), json!({ "cmd": "update-category" }), json!(null)];
        let commands = Upload::for_test(invalid.into_iter().chain([to("stationery")]));
        let stream = pin!(handler(body("confectionery"), services.clone(), commands));
        assert_eq!(names(stream, 4).await[3], "Fountain pen 0");
    }

    #[tokio::test]
    async fn an_unknown_category_yields_nothing_and_does_not_fail() {
        let services = Services::for_test(Shop::default());
        let commands = Upload::for_test([to("weapons"), to("stationery")]);
        let mut stream = pin!(handler(body("nowhere"), services.clone(), commands));
        assert_eq!(names(&mut stream, 1).await, ["Fountain pen 0"]);
    }

    #[tokio::test]
    async fn an_added_product_is_yielded_with_0_and_then_its_changes() {
        let services = Services::for_test(Shop::default());
        let mut stream = pin!(handler(body("stationery"), services.clone(), no_commands()));
        assert_eq!(names(&mut stream, 3).await.len(), 3);

        let added = services.add("stationery", "Ruler").unwrap();
        assert_eq!(names(&mut stream, 1).await, ["Ruler 0"]);
        services.order(&added.id, 7);
        assert_eq!(names(&mut stream, 1).await, ["Ruler 7"]);
    }

    #[tokio::test]
    async fn a_slow_client_receives_the_newest_totals() {
        let services = Services::for_test(Shop::default());
        let mut stream = pin!(handler(body("confectionery"), services.clone(), no_commands()));
        names(&mut stream, 3).await;
        for _ in 0..1000 {
            services.order("C4", 1);
        }
        assert_eq!(names(&mut stream, 1).await, ["Chocolate bar 1000"]);
    }

    #[tokio::test]
    async fn a_stream_is_counted_until_it_is_dropped() {
        let services = Services::for_test(Shop::default());
        let watching = services.watching();
        {
            let stream = pin!(handler(body("stationery"), services.clone(), no_commands()));
            names(stream, 1).await;
            assert_eq!(*watching.borrow(), 1);
        }
        assert_eq!(*watching.borrow(), 0);
    }
}
