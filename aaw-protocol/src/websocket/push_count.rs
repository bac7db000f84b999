//! Which bytes of a buffer belong to pushes.

use std::collections::VecDeque;

use crate::shrink_queue::shrink_queue;

/// Counts the bytes of a queue of bytes that belong to pushes, exactly, wherever a write ends.
///
/// Nearly always all bytes do, or none: then one number suffices, and there is no list.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "without a list it is one pointer instead of four")]
pub(super) struct PushCount {
    pushed: usize,
    /// The bytes from front to back, if there are both kinds. Neighbours differ in their kind.
    runs: Option<Box<VecDeque<Run>>>,
}

#[derive(Debug, Clone, Copy)]
struct Run {
    is_push: bool,
    len: usize,
}

impl PushCount {
    pub(super) const fn new() -> Self {
        Self { pushed: 0, runs: None }
    }

    /// Returns the number of bytes that belong to pushes.
    pub(super) fn pushed(&self) -> usize {
        self.pushed
    }

    /// Returns the bytes of the list.
    pub(super) fn memory(&self) -> usize {
        self.runs.as_ref().map_or(0, |runs| runs.capacity() * size_of::<Run>())
    }

    /// Counts `len` bytes at the end, of a push or not, behind `before` bytes.
    pub(super) fn add(&mut self, is_push: bool, len: usize, before: usize) {
        match &mut self.runs {
            Some(runs) => match runs.back_mut() {
                Some(last) if last.is_push == is_push => last.len += len,
                _ => runs.push_back(Run { is_push, len }),
            },
            // The other kind alone so far.
            None if before > 0 && (self.pushed > 0) != is_push => {
                let first = Run { is_push: !is_push, len: before };
                self.runs = Some(Box::new([first, Run { is_push, len }].into()));
            }
            None => {}
        }
        if is_push {
            self.pushed += len;
        }
    }

    /// Counts the bytes of another queue at the end. Both have as many bytes as is passed.
    pub(super) fn append(&mut self, other: &mut Self, other_len: usize, before: usize) {
        match other.runs.take() {
            None => self.add(other.pushed > 0, other_len, before),
            Some(runs) => {
                let mut before = before;
                for Run { is_push, len } in *runs {
                    self.add(is_push, len, before);
                    before += len;
                }
            }
        }
        other.pushed = 0;
    }

    /// As [`append`](Self::append), without changing the other queue.
    pub(super) fn append_copy(&mut self, other: &Self, other_len: usize, before: usize) {
        let Some(runs) = &other.runs else {
            return if other_len > 0 {
                self.add(other.pushed > 0, other_len, before);
            };
        };
        let mut before = before;
        for Run { is_push, len } in runs.iter() {
            self.add(*is_push, *len, before);
            before += len;
        }
    }

    /// Returns a reader of the kinds of the bytes, from front to back.
    pub(super) fn kinds(&self) -> Kinds<'_> {
        Kinds { all: self.pushed > 0, runs: self.runs.as_deref().map(VecDeque::iter), is_push: false, end: 0 }
    }

    /// Removes `len` bytes from the front.
    pub(super) fn remove(&mut self, mut len: usize) {
        let Some(runs) = &mut self.runs else {
            self.pushed = self.pushed.saturating_sub(len);
            return;
        };
        while len > 0
            && let Some(first) = runs.front_mut()
        {
            let removed = len.min(first.len);
            first.len -= removed;
            len -= removed;
            if first.is_push {
                self.pushed -= removed;
            }
            if first.len == 0 {
                runs.pop_front();
            }
        }
        if runs.len() <= 1 {
            self.runs = None;
        }
    }

    /// Frees most of what the list has no use for after it was much longer.
    pub(super) fn shrink(&mut self) {
        if let Some(runs) = &mut self.runs {
            shrink_queue(runs);
        }
    }
}

/// Tells of ascending positions whether the byte there belongs to a push.
pub(super) struct Kinds<'a> {
    /// The kind of all bytes, if there are no runs.
    all: bool,
    runs: Option<std::collections::vec_deque::Iter<'a, Run>>,
    /// The kind of the bytes before `end`.
    is_push: bool,
    end: usize,
}

impl Kinds<'_> {
    pub(super) fn is_push(&mut self, at: usize) -> bool {
        let Some(runs) = &mut self.runs else { return self.all };
        while at >= self.end
            && let Some(run) = runs.next()
        {
            (self.is_push, self.end) = (run.is_push, self.end + run.len);
        }
        self.is_push
    }
}
