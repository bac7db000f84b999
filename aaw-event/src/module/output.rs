//! Where a call writes: items in place, in the host's buffer, or through a sink of an older host; failures through a sink.

use std::io::{self, Write};

use aaw_protocol::{Failure, json};
use serde::Serialize;

use crate::abi::{Output, PollArgs, Sink, Space, committed, step};
use crate::sdk::Error;

/// Whether the current poll takes another item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextItem {
    Wanted,
    NotWanted,
}

/// The output of the current poll.
pub struct CallOutput {
    items: Items,
    failure: Sink,
}

enum Items {
    InPlace(Output),
    /// The host is older than output in place.
    Sink(Sink),
}

impl CallOutput {
    /// # Safety
    /// `poll` was passed to a function call that outlives the output.
    pub(super) unsafe fn in_place(poll: &PollArgs) -> Self {
        Self { items: Items::InPlace(poll.output), failure: poll.failure }
    }

    /// # Safety
    /// `sink` was passed to a function call that outlives the output.
    pub(super) unsafe fn to_sink(sink: Sink) -> Self {
        Self { items: Items::Sink(sink), failure: sink }
    }

    /// Writes an item. If this fails, nothing was written.
    #[inline]
    pub(super) fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<NextItem, Error> {
        match &mut self.items {
            Items::InPlace(output) => {
                let mut writer = ItemWriter::in_place(*output);
                json::to_writer(&mut writer, value)?;
                let len = writer.len;
                // SAFETY: the host's table outlives this poll.
                let code = unsafe { ((*output.vtable).commit)(output.poll, len, &raw mut output.space) };
                Ok(if code == committed::MORE { NextItem::Wanted } else { NextItem::NotWanted })
            }
            Items::Sink(sink) => {
                let mut writer = ItemWriter::buffered();
                json::to_writer(&mut writer, value)?;
                // A refusal is the host's concern: the step is the same.
                // SAFETY: the sink's function call outlives `self`.
                let _ = unsafe { sink.write(&writer.buffer) };
                Ok(NextItem::NotWanted)
            }
        }
    }

    /// Writes a failure, and returns the step for it.
    pub(super) fn fail(&self, failure: &Failure) -> u32 {
        self.text(&serde_json::to_vec(failure).unwrap_or_default());
        step::ERROR
    }

    /// Writes the JSON of a failure, or the text of a panic.
    pub(super) fn text(&self, bytes: &[u8]) {
        // SAFETY: as in `item`.
        let _ = unsafe { self.failure.write(bytes) };
    }
}

/// Writes one item. There is one type for both kinds of output, so that each serializer is compiled once.
///
/// In place it writes into `space` and asks the host for more. If the host refuses, because the item is too long, it only
/// counts. Buffered, `space` is the spare capacity of `buffer`, in which the item ends up.
struct ItemWriter {
    space: Space,
    /// The bytes written, or counted.
    len: usize,
    /// `None` if the item is buffered.
    output: Option<Output>,
    buffer: Vec<u8>,
}

impl ItemWriter {
    #[inline]
    fn in_place(output: Output) -> Self {
        Self { space: output.space, len: 0, output: Some(output), buffer: Vec::new() }
    }

    fn buffered() -> Self {
        Self { space: Space::NONE, len: 0, output: None, buffer: Vec::new() }
    }

    #[cold]
    fn write_beyond(&mut self, bytes: &[u8]) {
        let Some(output) = self.output else {
            self.buffer.extend_from_slice(bytes);
            return;
        };
        if !self.space.ptr.is_null() {
            // SAFETY: the host's table outlives this poll.
            self.space = unsafe { ((*output.vtable).reserve)(output.poll, self.len, bytes.len()) };
        }
        if !self.space.ptr.is_null() && self.space.len.saturating_sub(self.len) >= bytes.len() {
            self.copy(bytes);
        } else {
            self.space = Space::NONE;
        }
        self.len += bytes.len();
    }

    /// Copies `bytes` behind what was written. There must be room for them.
    #[inline]
    fn copy(&mut self, bytes: &[u8]) {
        // SAFETY: the space is the host's until the poll ends, holds at least `len` and these bytes, and is nowhere else
        // in use. `bytes` are not in it, because nothing of it was lent.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.space.ptr.add(self.len), bytes.len()) }
    }
}

impl Write for ItemWriter {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.space.len.saturating_sub(self.len) >= bytes.len() && !self.space.ptr.is_null() {
            self.copy(bytes);
            self.len += bytes.len();
        } else {
            self.write_beyond(bytes);
        }
        Ok(())
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
