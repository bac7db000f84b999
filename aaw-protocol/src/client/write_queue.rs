//! The write queue: messages that cannot be written yet, in order.

use std::collections::VecDeque;

use super::keys::CallKey;
use super::{ClientConfig, EncodedMessage, NotSent};

/// Calls and one-way sends in the order in which they were made. The server handles them in this order, so an event
/// does not overtake a call that is held back.
///
/// A call that expires while it waits leaves an empty place. There are never more of them than messages, however long there is
/// no connection.
#[derive(Debug, Default)]
pub(super) struct WriteQueue {
    /// By position. The first one is not empty.
    places: VecDeque<(WritePosition, Option<QueuedMessage>)>,
    empty_places: usize,
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
    /// The capacity that an empty queue keeps.
    const KEPT_PLACES: usize = 256;

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
        self.places.push_back((position, Some(queued)));
        Ok(position)
    }

    pub(super) fn first(&self) -> Option<&QueuedMessage> {
        self.places.front()?.1.as_ref()
    }

    pub(super) fn pop(&mut self) -> Option<QueuedMessage> {
        let queued = self.places.pop_front()?.1?;
        self.subtract(&queued);
        self.remove_empty_places();
        Some(queued)
    }

    pub(super) fn remove(&mut self, position: WritePosition) {
        let Ok(at) = self.places.binary_search_by_key(&position, |(position, _)| *position) else { return };
        if let Some(queued) = self.places[at].1.take() {
            self.subtract(&queued);
            self.empty_places += 1;
            self.remove_empty_places();
        }
    }

    /// The bytes of all messages in the queue.
    pub(super) fn bytes(&self) -> usize {
        self.call_bytes + self.event_bytes
    }

    fn remove_empty_places(&mut self) {
        while let Some((_, None)) = self.places.front() {
            self.places.pop_front();
            self.empty_places -= 1;
        }
        if self.empty_places > self.places.len() / 2 {
            self.places.retain(|(_, queued)| queued.is_some());
            self.empty_places = 0;
        }
        if self.places.is_empty() {
            self.places.shrink_to(Self::KEPT_PLACES);
        }
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

    #[test]
    fn expired_calls_leave_little() {
        let config = ClientConfig { max_queued_call_bytes: usize::MAX, ..ClientConfig::default() };
        let mut queue = WriteQueue::default();
        queue.push(queued(None, "first"), &config).unwrap();
        for call in 0..1000 {
            let positions = [0, 1, 2].map(|nth| queue.push(queued(Some(call * 3 + nth), "x"), &config).unwrap());
            queue.remove(positions[1]);
            queue.remove(positions[0]);
            queue.remove(positions[0]);
            assert!(queue.places.len() <= 2 * (2 + call as usize), "{} places", queue.places.len());
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|queued| queued.call).collect();
        let expected = (0..1000).map(|call| Some(CallKey(call * 3 + 2)));
        assert_eq!(order, [None].into_iter().chain(expected).collect::<Vec<_>>());
        assert_eq!((queue.bytes(), queue.empty_places), (0, 0));
        assert!(queue.places.capacity() <= WriteQueue::KEPT_PLACES);
    }
}
