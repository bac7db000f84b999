//! What waits to be written, in order.

use std::collections::BTreeMap;

use super::{CallKey, ClientConfig, EncodedMessage, NotSent};

/// Calls and sends in the order in which they were made, since the server takes them up in that order: a send does not
/// overtake a call that is held back.
///
/// A map by place, so that a call that times out while it waits leaves no trace, however long there is no connection.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: BTreeMap<Place, Item>,
    next: u64,
    call_bytes: usize,
    send_bytes: usize,
}

/// Where something stands in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u64);

/// What stands there: a call, or, without a key, a send.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) call: Option<CallKey>,
    pub(super) draft: EncodedMessage,
}

impl Line {
    /// Lets an item join at the end.
    ///
    /// # Errors
    /// [`NotSent::QueueFull`]. One item always fits into an empty line; its own size is judged elsewhere.
    pub(super) fn join(&mut self, item: Item, config: &ClientConfig) -> Result<Place, NotSent> {
        let size = item.draft.size();
        let (bytes, limit) = match item.call {
            Some(_) => (&mut self.call_bytes, config.max_waiting_calls),
            None => (&mut self.send_bytes, config.max_waiting_sends),
        };
        if *bytes > 0 && bytes.saturating_add(size) > limit {
            return Err(NotSent::QueueFull { limit });
        }
        *bytes += size;
        let place = Place(self.next);
        self.next += 1;
        self.waiting.insert(place, item);
        Ok(place)
    }

    pub(super) fn first(&self) -> Option<&Item> {
        self.waiting.first_key_value().map(|(_, item)| item)
    }

    pub(super) fn pop(&mut self) -> Option<Item> {
        let (_, item) = self.waiting.pop_first()?;
        self.forget(&item);
        Some(item)
    }

    pub(super) fn leave(&mut self, place: Place) {
        if let Some(item) = self.waiting.remove(&place) {
            self.forget(&item);
        }
    }

    /// The bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.call_bytes + self.send_bytes
    }

    fn forget(&mut self, item: &Item) {
        match item.call {
            Some(_) => self.call_bytes -= item.draft.size(),
            None => self.send_bytes -= item.draft.size(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(call: Option<u64>, body: &str) -> Item {
        Item { call: call.map(CallKey), draft: EncodedMessage::new("e", body).unwrap() }
    }

    #[test]
    fn sends_and_calls_keep_their_order_and_have_a_bound_each() {
        let config = ClientConfig { max_waiting_sends: 100, max_waiting_calls: 200, ..ClientConfig::default() };
        let mut line = Line::default();
        line.join(item(None, "1"), &config).unwrap();
        let second = line.join(item(Some(7), "2"), &config).unwrap();
        line.join(item(Some(8), "3"), &config).unwrap();
        assert_eq!(line.join(item(None, &"x".repeat(60)), &config), Err(NotSent::QueueFull { limit: 100 }));
        line.join(item(Some(9), &"x".repeat(60)), &config).unwrap();
        line.leave(second);
        let order: Vec<_> = std::iter::from_fn(|| line.pop()).map(|item| item.call).collect();
        assert_eq!(order, [None, Some(CallKey(8)), Some(CallKey(9))]);
        assert_eq!(line.bytes(), 0);
    }
}
