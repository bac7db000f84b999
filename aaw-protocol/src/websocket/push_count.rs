//! Which bytes of a buffer belong to pushes.

use std::collections::VecDeque;

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
    /// Returns the number of bytes that belong to pushes.
    pub(super) fn pushed(&self) -> usize {
        self.pushed
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
}
