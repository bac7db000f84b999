//! The write queue: messages that cannot be written yet, in order.

use super::keys::CallKey;
use super::{ClientConfig, EncodedMessage, NotSent};
use crate::sorted_queue::SortedQueue;

/// Calls and one-way sends in the order in which they were made. The server handles them in this order, so an event
/// does not overtake a call that is held back.
///
/// A call that expires while it waits leaves little behind, however long there is no connection.
#[derive(Debug, Default)]
pub(super) struct WriteQueue {
    messages: SortedQueue<WritePosition, QueuedMessage>,
    next: u64,
    call_bytes: usize,
    event_bytes: usize,
}

/// The position of a message in the write queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WritePosition(u64);

/// A message in the write queue.
#[derive(Debug)]
pub(super) struct QueuedMessage {
    /// The call, or `None` for a one-way send.
    pub(super) call: Option<CallKey>,
    pub(super) message: EncodedMessage,
}

impl WriteQueue {
    /// Appends a message.
    ///
    /// # Errors
    /// [`NotSent::QueueFull`]. An empty queue accepts any message; the size of a single message is checked elsewhere.
    pub(super) fn push(&mut self, queued: QueuedMessage, config: &ClientConfig) -> Result<WritePosition, NotSent> {
        let size = queued.message.size();
        let (bytes, limit) = match queued.call {
            Some(_) => (&mut self.call_bytes, config.max_queued_call_bytes),
            None => (&mut self.event_bytes, config.max_queued_event_bytes),
        };
        if *bytes > 0 && bytes.saturating_add(size) > limit {
            return Err(NotSent::QueueFull { limit });
        }
        *bytes += size;
        let position = WritePosition(self.next);
        self.next += 1;
        self.messages.push(position, queued);
        Ok(position)
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn first(&self) -> Option<&QueuedMessage> {
        self.messages.first()
    }

    pub(super) fn pop(&mut self) -> Option<QueuedMessage> {
        let queued = self.messages.pop()?;
        self.subtract(&queued);
        Some(queued)
    }

    pub(super) fn remove(&mut self, position: WritePosition) {
        if let Some(queued) = self.messages.remove(&position) {
            self.subtract(&queued);
        }
    }

    /// The bytes of all messages in the queue.
    pub(super) fn bytes(&self) -> usize {
        self.call_bytes + self.event_bytes
    }

    fn subtract(&mut self, queued: &QueuedMessage) {
        match queued.call {
            Some(_) => self.call_bytes -= queued.message.size(),
            None => self.event_bytes -= queued.message.size(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queued(call: Option<u64>, body: &str) -> QueuedMessage {
        QueuedMessage { call: call.map(CallKey), message: EncodedMessage::new("e", body).unwrap() }
    }

    #[test]
    fn events_and_calls_keep_their_order_and_have_separate_limits() {
        let config =
            ClientConfig { max_queued_event_bytes: 100, max_queued_call_bytes: 200, ..ClientConfig::default() };
        let mut queue = WriteQueue::default();
        queue.push(queued(None, "1"), &config).unwrap();
        let second = queue.push(queued(Some(7), "2"), &config).unwrap();
        queue.push(queued(Some(8), "3"), &config).unwrap();
        assert_eq!(queue.push(queued(None, &"x".repeat(60)), &config), Err(NotSent::QueueFull { limit: 100 }));
        queue.push(queued(Some(9), &"x".repeat(60)), &config).unwrap();
        queue.remove(second);
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|queued| queued.call).collect();
        assert_eq!(order, [None, Some(CallKey(8)), Some(CallKey(9))]);
        assert_eq!(queue.bytes(), 0);
    }
}
