//! The line in which calls wait until one of those that run is done.

use std::collections::VecDeque;
use std::time::Instant;

use super::call::CallKey;

/// Calls in the order in which they came, bounded in bytes.
#[derive(Debug)]
pub(super) struct Line {
    waiting: VecDeque<Place>,
    bytes: usize,
    most_bytes: usize,
}

/// What waited, and no longer has to.
#[derive(Debug)]
pub struct QueuedCall(pub(super) Waited);

#[derive(Debug)]
pub(super) enum Waited {
    Call(Place),
    /// The end of an upload that came while its call waited. The call has been begun.
    EndOfUpload(CallKey),
}

/// A call that waits: its frame, and when it came.
#[derive(Debug)]
pub(super) struct Place {
    /// A copy: a slice of the socket's read buffer would keep all of that buffer.
    pub(super) text: Box<str>,
    pub(super) received: Instant,
    /// The most credit that came for it while it waited. What it asked with is in its text.
    pub(super) credit: u64,
    /// Whether its caller sends a stream.
    pub(super) upload: bool,
    /// Whether that stream is over already.
    pub(super) upload_ended: bool,
    /// The v1 id, or for a frame without one that of the call before it: never decreasing along the line.
    id: i64,
    /// Whether `id` is this frame's own id.
    numbered: bool,
}

impl Line {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self { waiting: VecDeque::new(), bytes: 0, most_bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes a copy of the frame, or says that there is no room for it. `last_id` is the last v1 id taken: this
    /// frame's own if it is `numbered`.
    pub(super) fn push(
        &mut self,
        text: &str,
        received: Instant,
        last_id: i64,
        numbered: bool,
        upload: bool,
    ) -> Result<(), Full> {
        let bytes = cost(text);
        if self.bytes + bytes > self.most_bytes {
            return Err(Full);
        }
        self.bytes += bytes;
        let text = text.into();
        let place = Place { text, received, credit: 0, upload, upload_ended: false, id: last_id, numbered };
        self.waiting.push_back(place);
        Ok(())
    }

    /// The first that waits; none of those that were removed.
    pub(super) fn pop(&mut self) -> Option<Place> {
        let first = self.waiting.pop_front()?;
        self.bytes -= cost(&first.text);
        self.close_gaps();
        Some(first)
    }

    /// The call with this v1 id, wherever it stands.
    pub(super) fn find(&mut self, id: i64) -> Option<&mut Place> {
        // Among the frames of one id the call, if it waits, is the first; sends that came after it follow. It need not
        // wait: it may be over, and the sends may be all there is.
        let at = self.waiting.partition_point(|waiting| waiting.id < id);
        let found = self.waiting.get_mut(at)?;
        (found.id == id && found.numbered && !found.text.is_empty()).then_some(found)
    }

    /// Takes out the call with this v1 id, and gives back its text.
    pub(super) fn remove(&mut self, id: i64) -> Option<Box<str>> {
        // An empty text stays behind: closing a gap in the middle would cost time in proportion to the line.
        let text = std::mem::take(&mut self.find(id)?.text);
        self.bytes -= cost(&text) - cost("");
        self.close_gaps();
        Some(text)
    }

    /// Takes out everything.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.most_bytes);
    }

    /// Lets go of what was removed at either end, so that the first and the last frame are always ones that wait, and
    /// a line in which nothing waits is empty. Each gap is closed once, so this costs nothing over time.
    fn close_gaps(&mut self) {
        while self.waiting.front().is_some_and(|waiting| waiting.text.is_empty()) {
            self.waiting.pop_front();
            self.bytes -= cost("");
        }
        while self.waiting.back().is_some_and(|waiting| waiting.text.is_empty()) {
            self.waiting.pop_back();
            self.bytes -= cost("");
        }
        if self.waiting.is_empty() {
            // One burst shall not cost an idle connection a megabyte for ever.
            self.waiting.shrink_to(IDLE_CAPACITY);
        }
    }
}

/// Places kept in a line that is empty: enough that a short queue does not allocate each time.
const IDLE_CAPACITY: usize = 16;

/// There is no room in the line.
#[derive(Debug)]
pub(super) struct Full;

/// What a waiting frame takes: its text and its place, so that many small frames are bounded too.
fn cost(text: &str) -> usize {
    text.len() + size_of::<Place>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_in_first_out_and_bounded() {
        let now = Instant::now();
        let mut line = Line::new(2 * cost("12345"));
        line.push("12345", now, 1, true, false).unwrap();
        line.push("abcde", now, 2, true, false).unwrap();
        assert!(line.push("x", now, 3, true, false).is_err());
        assert_eq!(&*line.pop().unwrap().text, "12345");
        line.push("fghij", now, 3, true, false).unwrap();
        assert_eq!(&*line.pop().unwrap().text, "abcde");
        assert_eq!(&*line.pop().unwrap().text, "fghij");
        assert!(line.is_empty() && line.bytes == 0);
    }

    #[test]
    fn a_call_is_removed_by_its_id_and_a_send_is_not() {
        let now = Instant::now();
        let mut line = Line::new(1 << 20);
        for (text, id, numbered) in
            [("send 0", 0, false), ("call 1", 1, true), ("send 1", 1, false), ("call 2", 2, true)]
        {
            line.push(text, now, id, numbered, false).unwrap();
        }
        assert!(line.remove(1).is_some() && line.remove(1).is_none() && line.remove(7).is_none());
        let texts: Vec<_> = std::iter::from_fn(|| line.pop()).map(|waiting| waiting.text).collect();
        assert_eq!(texts, ["send 0", "send 1", "call 2"].map(Box::<str>::from));
        assert_eq!(line.bytes, 0);
    }

    #[test]
    fn a_call_that_does_not_wait_takes_no_send_with_it() {
        let now = Instant::now();
        let mut line = Line::new(1 << 20);
        line.push("a send after call 5, which is over", now, 5, false, false).unwrap();
        assert!(line.remove(5).is_none());
        assert!(line.pop().is_some());
    }

    #[test]
    fn what_was_removed_at_the_ends_takes_no_room() {
        let now = Instant::now();
        let mut line = Line::new(1 << 20);
        for id in 1..=1000 {
            line.push("call", now, id, true, false).unwrap();
        }
        // The middle first: these gaps close when what stands before or behind them goes.
        for id in (2..=999).chain([1, 1000]) {
            assert!(line.remove(id).is_some());
        }
        assert!(line.is_empty() && line.bytes == 0 && line.waiting.capacity() < 100);
    }
}
