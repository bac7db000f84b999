//! The totals of a category, at once and whenever they change. The reader may send commands meanwhile: another
//! category, and the same stream goes on with that one.

use aaw_event::prelude::*;
use tokio::sync::broadcast::error::RecvError;

use crate::_services::{Order, Shop};

/// What to begin with.
#[derive(Deserialize)]
pub struct Body {
    category: String,
}

/// What the reader says later: `{"cmd": "update-category", "payload": {"category": "stationery"}}`.
#[derive(Debug, Deserialize)]
#[serde(tag = "cmd", content = "payload", rename_all = "kebab-case")]
pub enum Command {
    UpdateCategory { category: String },
}

pub fn handler(first: Body, services: Services<Shop>, mut commands: Upload<Command>) -> impl Stream<Item = Order> {
    stream! {
        // Lives as long as the stream does: it is gone when the reader is.
        let _watching = services.watch();
        let mut category = first.category;
        let mut reader_speaks = true;
        loop {
            let (totals, mut changes) = services.follow(&category);
            for order in totals {
                yield order;
            }
            // Until the totals are wanted anew.
            loop {
                tokio::select! {
                    command = commands.next(), if reader_speaks => match command {
                        Some(Ok(Command::UpdateCategory { category: other })) => {
                            category = other;
                            break;
                        }
                        // Whatever else it says hurts nobody, not even itself.
                        Some(Err(error)) => tracing::warn!(%error, "a command that is none"),
                        None => reader_speaks = false,
                    },
                    changed = changes.recv() => match changed {
                        Ok(order) if order.category == category => yield order,
                        Ok(_) => {}
                        // The reader is slow, and only the newest total matters.
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

    /// A reader that only reads.
    fn silent() -> Upload<Command> {
        Upload::for_test([(); 0])
    }

    async fn names(stream: impl Stream<Item = Order>, many: usize) -> Vec<String> {
        stream.take(many).map(|order| format!("{} {}", order.name, order.total)).collect().await
    }

    #[tokio::test]
    async fn the_totals_come_at_once_and_then_what_changes() {
        let services = Services::for_test(Shop::default());
        let mut stream = pin!(handler(body("confectionery"), services.clone(), silent()));
        assert_eq!(names(&mut stream, 3).await, ["Chocolate bar 0", "Liquorice 0", "Salted caramels 0"]);

        services.order("E1", 2);
        services.order("C5", 3);
        assert_eq!(names(&mut stream, 1).await, ["Liquorice 3"], "another category's order is not told");

        // Whoever comes now is given the same.
        let other = pin!(handler(body("confectionery"), services.clone(), silent()));
        assert_eq!(names(other, 3).await, ["Chocolate bar 0", "Liquorice 3", "Salted caramels 0"]);
    }

    #[tokio::test]
    async fn a_command_changes_the_category_and_the_stream_goes_on() {
        let services = Services::for_test(Shop::default());
        let commands = Upload::for_test([to("stationery")]);
        let mut stream = pin!(handler(body("confectionery"), services.clone(), commands));
        assert_eq!(names(&mut stream, 6).await[3..], ["Fountain pen 0", "Squared paper 0", "Bookmark 0"]);

        services.order("C5", 1);
        services.order("S9", 4);
        assert_eq!(names(&mut stream, 1).await, ["Bookmark 4"]);
    }

    #[tokio::test]
    async fn what_is_no_command_hurts_nobody() {
        let services = Services::for_test(Shop::default());
        let wrong =
            [json!("stationery"), json!({ "cmd": "empty-till" }), json!({ "cmd": "update-category" }), json!(null)];
        let commands = Upload::for_test(wrong.into_iter().chain([to("stationery")]));
        let stream = pin!(handler(body("confectionery"), services, commands));
        assert_eq!(names(stream, 4).await[3], "Fountain pen 0");
    }

    #[tokio::test]
    async fn an_unknown_category_yields_nothing_and_is_no_error() {
        let services = Services::for_test(Shop::default());
        let commands = Upload::for_test([to("weapons"), to("stationery")]);
        let mut stream = pin!(handler(body("nowhere"), services, commands));
        assert_eq!(names(&mut stream, 1).await, ["Fountain pen 0"]);
    }

    #[tokio::test]
    async fn a_product_that_is_added_starts_at_0_and_is_updated() {
        let services = Services::for_test(Shop::default());
        let mut stream = pin!(handler(body("stationery"), services.clone(), silent()));
        assert_eq!(names(&mut stream, 3).await.len(), 3);

        let added = services.add("stationery", "Ruler").unwrap();
        assert_eq!(names(&mut stream, 1).await, ["Ruler 0"]);
        services.order(&added.id, 7);
        assert_eq!(names(&mut stream, 1).await, ["Ruler 7"]);
    }

    #[tokio::test]
    async fn who_is_slow_is_given_the_newest_totals() {
        let services = Services::for_test(Shop::default());
        let mut stream = pin!(handler(body("confectionery"), services.clone(), silent()));
        names(&mut stream, 3).await;
        for _ in 0..1000 {
            services.order("C4", 1);
        }
        assert_eq!(names(&mut stream, 1).await, ["Chocolate bar 1000"]);
    }

    #[tokio::test]
    async fn a_stream_counts_while_it_lives() {
        let services = Services::for_test(Shop::default());
        let watching = services.watching();
        {
            let stream = pin!(handler(body("stationery"), services.clone(), silent()));
            names(stream, 1).await;
            assert_eq!(*watching.borrow(), 1);
        }
        assert_eq!(*watching.borrow(), 0);
    }
}
