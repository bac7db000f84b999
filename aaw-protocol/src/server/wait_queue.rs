//! The wait queue: calls beyond the limit wait here until a running call is over.

use std::collections::VecDeque;
use std::time::Instant;

use super::keys::CallKey;
use crate::shrink_queue::shrink_queue;

/// A first-in, first-out queue of frames, limited in bytes.
#[derive(Debug, Default)]
pub(super) struct WaitQueue {
    frames: VecDeque<QueuedFrame>,
    bytes: usize,
}

/// A call that left the wait queue, for [`handle_queued`](super::ServerConnection::handle_queued).
#[derive(Debug)]
pub struct QueuedCall(pub(super) QueuedInput);

#[derive(Debug)]
pub(super) enum QueuedInput {
    Call(QueuedFrame),
    /// The end of an upload that arrived while its call waited. The call runs by now.
    UploadEnd(CallKey),
}

/// The frame of a call or one-way send in the wait queue.
#[derive(Debug)]
pub(super) struct QueuedFrame {
    /// A copy of the frame, because a slice would keep the socket's whole read buffer alive. Empty once removed.
    pub(super) text: Box<str>,
    pub(super) received: Instant,
    /// The highest credit granted while the call waited. Its first credit is in `text`.
    pub(super) credit: u64,
    /// Whether the caller sends an upload.
    pub(super) upload: bool,
    /// Whether that upload is over.
    pub(super) upload_ended: bool,
    /// The frame's v1 id, or that of the call before it if it has none. It never decreases along the queue.
    id: i64,
    /// Whether `id` is the frame's own id.
    numbered: bool,
}

impl WaitQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Returns the bytes that the calls take, with their places.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends a copy of a frame, unless the queue would exceed `max_bytes`. `last_id` is the last v1 id used: the frame's own if it is `numbered`.
    ///
    /// # Errors
    /// [`WaitQueueFull`] if the frame does not fit.
    pub(super) fn push(
        &mut self,
        max_bytes: usize,
        text: &str,
        received: Instant,
        last_id: i64,
        numbered: bool,
        upload: bool,
    ) -> Result<(), WaitQueueFull> {
        let bytes = cost(text);
        if self.bytes + bytes > max_bytes {
            return Err(WaitQueueFull);
        }
        self.bytes += bytes;
        let text = text.into();
        let frame = QueuedFrame { text, received, credit: 0, upload, upload_ended: false, id: last_id, numbered };
        self.frames.push_back(frame);
        Ok(())
    }

    /// Removes the first frame.
    pub(super) fn pop(&mut self) -> Option<QueuedFrame> {
        let first = self.frames.pop_front()?;
        self.bytes -= cost(&first.text);
        self.drop_removed_ends();
        Some(first)
    }

    /// Finds the call with this v1 id.
    pub(super) fn find(&mut self, id: i64) -> Option<&mut QueuedFrame> {
        // Frames with the same `id` are the call itself, followed by the one-way sends after it. The call may be over,
        // so that only the events are left.
        let at = self.frames.partition_point(|frame| frame.id < id);
        let found = self.frames.get_mut(at)?;
        (found.id == id && found.numbered && !found.text.is_empty()).then_some(found)
    }

    /// Removes the call with this v1 id and returns its text.
    pub(super) fn remove(&mut self, id: i64) -> Option<Box<str>> {
        // An empty text stays in its slot: closing the gap would take time proportional to the length of the queue.
        let text = std::mem::take(&mut self.find(id)?.text);
        self.bytes -= cost(&text) - cost("");
        self.drop_removed_ends();
        Some(text)
    }

    /// Removes all frames.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Drops the slots of removed calls at both ends, so that the first and the last frame always wait and a queue
    /// without waiting frames is empty. Each slot is dropped once, so the amortised cost is constant.
    fn drop_removed_ends(&mut self) {
        while self.frames.front().is_some_and(|frame| frame.text.is_empty()) {
            self.frames.pop_front();
            self.bytes -= cost("");
        }
        while self.frames.back().is_some_and(|frame| frame.text.is_empty()) {
            self.frames.pop_back();
            self.bytes -= cost("");
        }
    }

    /// Frees the capacity of a burst, if few calls wait.
    pub(super) fn release_memory(&mut self) {
        if self.frames.is_empty() {
            self.frames = VecDeque::new();
        } else {
            shrink_queue(&mut self.frames);
        }
    }
}

/// The wait queue has no space for a frame.
#[derive(Debug)]
pub(super) struct WaitQueueFull;

/// The memory of a waiting frame: its text and its slot, so that many small frames are bounded too.
fn cost(text: &str) -> usize {
    text.len() + size_of::<QueuedFrame>()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_BYTES: usize = 1 << 20;

    #[test]
    fn the_queue_is_first_in_first_out_and_bounded() {
        let now = Instant::now();
        let (mut queue, max) = (WaitQueue::default(), 2 * cost("12345"));
        queue.push(max, "12345", now, 1, true, false).unwrap();
        queue.push(max, "abcde", now, 2, true, false).unwrap();
        assert!(queue.push(max, "x", now, 3, true, false).is_err());
        assert_eq!(&*queue.pop().unwrap().text, "12345");
        queue.push(max, "fghij", now, 3, true, false).unwrap();
        assert_eq!(&*queue.pop().unwrap().text, "abcde");
        assert_eq!(&*queue.pop().unwrap().text, "fghij");
        assert!(queue.is_empty() && queue.bytes == 0);
    }

    #[test]
    fn a_call_can_be_removed_by_its_id_and_a_one_way_event_cannot() {
        let now = Instant::now();
        let mut queue = WaitQueue::default();
        for (text, id, numbered) in
            [("event 0", 0, false), ("call 1", 1, true), ("event 1", 1, false), ("call 2", 2, true)]
        {
            queue.push(MAX_BYTES, text, now, id, numbered, false).unwrap();
        }
        assert!(queue.remove(1).is_some() && queue.remove(1).is_none() && queue.remove(7).is_none());
        let texts: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|frame| frame.text).collect();
        assert_eq!(texts, ["event 0", "event 1", "call 2"].map(Box::<str>::from));
        assert_eq!(queue.bytes, 0);
    }

    #[test]
    fn removing_a_call_that_is_not_queued_leaves_the_event_after_it() {
        let now = Instant::now();
        let mut queue = WaitQueue::default();
        queue.push(MAX_BYTES, "an event after call 5, which is over", now, 5, false, false).unwrap();
        assert!(queue.remove(5).is_none());
        assert!(queue.pop().is_some());
    }

    #[test]
    fn calls_removed_from_the_ends_use_no_memory() {
        let now = Instant::now();
        let mut queue = WaitQueue::default();
        for id in 1..=1000 {
            queue.push(MAX_BYTES, "call", now, id, true, false).unwrap();
        }
        // The middle first: these slots are dropped when the frames before or behind them are removed.
        for id in (2..=999).chain([1, 1000]) {
            assert!(queue.remove(id).is_some());
        }
        assert!(queue.is_empty() && queue.bytes == 0);
        queue.release_memory();
        assert_eq!(queue.frames.capacity(), 0);
        queue.frames.reserve(10_000);
        queue.push(MAX_BYTES, "call", now, 1, true, false).unwrap();
        queue.release_memory();
        assert!(queue.frames.capacity() < 100, "{}", queue.frames.capacity());
    }
}
