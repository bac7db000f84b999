//! Frames that wait to be written.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::{Deref, DerefMut};

use bytes::{Buf as _, Bytes};

use super::encode::{begin_frame, close_frame, frame_len};
use super::frame_header::Opcode;
use super::push_count::PushCount;
use crate::shrink_queue::shrink_queue;

/// Payloads from this length on are not copied into a buffer but stand in it as they are, and leave with a vectored write.
/// Copying is as fast for 250 to 500 bytes; sharing takes 0.73 times as long for 1 KB to many connections, and 0.4 times
/// from 4 KB on.
pub const MIN_SHARED: usize = 512;

/// The header that is reserved before a text whose length is not known yet: the shortest one.
const RESERVED: usize = 2;

/// The spare capacity that a part may keep.
const MAX_SPARE: usize = 4 << 10;

/// The capacity that a buffer keeps when it has become empty.
const KEPT_CAPACITY: usize = 64 << 10;

/// A text message with its header, or several that are sent as one, made once for any number of connections. A clone is a
/// reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedFrame {
    frame: Bytes,
    header_len: usize,
    messages: usize,
}

impl SharedFrame {
    /// Makes the frame of a text message.
    pub fn text(payload: &[u8]) -> Self {
        let mut frame = Vec::with_capacity(frame_len(payload.len()));
        begin_frame(&mut frame, Opcode::Text, payload.len());
        let header_len = frame.len();
        frame.extend_from_slice(payload);
        Self { frame: frame.into(), header_len, messages: 1 }
    }

    /// Makes the frames of several text messages, which stay together in this order.
    pub fn texts<P: AsRef<[u8]>>(payloads: &[P]) -> Self {
        let mut frame = Vec::with_capacity(payloads.iter().map(|payload| frame_len(payload.as_ref().len())).sum());
        let mut header_len = 0;
        for payload in payloads {
            let payload = payload.as_ref();
            let first = frame.is_empty();
            begin_frame(&mut frame, Opcode::Text, payload.len());
            if first {
                header_len = frame.len();
            }
            frame.extend_from_slice(payload);
        }
        Self { frame: frame.into(), header_len, messages: payloads.len() }
    }

    /// Returns the number of messages.
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// Returns the message, without its header; of several, the first with what follows it.
    pub fn payload(&self) -> &[u8] {
        &self.frame[self.header_len..]
    }

    /// Returns the length of the frame or frames, with their headers.
    pub fn frame_len(&self) -> usize {
        self.frame.len()
    }
}

/// The frames that a server sends on one connection, in their order, as bytes.
///
/// It dereferences to [`Frames`], which has its methods. A connection has several buffers, which are mostly empty: one that was
/// made with `default` is a pointer, and has no memory until it is first changed.
#[derive(Debug, Default)]
pub struct FrameBuffer(Option<Box<Frames>>);

impl FrameBuffer {
    /// Moves all of `other` to the end of this buffer. What is large is moved as it is.
    pub fn append(&mut self, other: &mut Self) {
        if let Some(other) = &mut other.0
            && !other.is_empty()
        {
            self.frames_mut().append(other);
        }
    }

    #[inline]
    fn frames_mut(&mut self) -> &mut Frames {
        self.0.get_or_insert_default()
    }
}

impl Deref for FrameBuffer {
    type Target = Frames;

    #[inline]
    fn deref(&self) -> &Frames {
        static EMPTY: Frames = Frames::new();
        self.0.as_deref().unwrap_or(&EMPTY)
    }
}

impl DerefMut for FrameBuffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut Frames {
        self.frames_mut()
    }
}

/// The content of a [`FrameBuffer`].
///
/// Small frames are copied one after the other, large ones stand between them as shared buffers. [`slices`](Self::slices)
/// and [`advance`](Self::advance) are for vectored writes, which may end anywhere within a frame.
#[derive(Debug, Default)]
pub struct Frames {
    /// What precedes `tail`.
    parts: VecDeque<Bytes>,
    tail: Vec<u8>,
    /// The bytes of `tail` that were written. Not 0 only if `parts` is empty.
    tail_written: usize,
    len: usize,
    /// The bytes at the front that end a frame whose beginning was written.
    partial: usize,
    /// The text messages that were appended since the buffer was empty.
    messages: usize,
    pushes: PushCount,
}

impl Frames {
    const fn new() -> Self {
        Self {
            parts: VecDeque::new(),
            tail: Vec::new(),
            tail_written: 0,
            len: 0,
            partial: 0,
            messages: 0,
            pushes: PushCount::new(),
        }
    }

    /// Returns whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the number of bytes to write.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns the bytes that are allocated for frames that were copied.
    pub fn capacity(&self) -> usize {
        self.tail.capacity()
    }

    /// Returns the bytes of memory that all frames take. What is shared with other buffers counts in full.
    pub fn memory(&self) -> usize {
        let of_parts = self.len - (self.tail.len() - self.tail_written);
        of_parts + self.parts.capacity() * size_of::<Bytes>() + self.tail.capacity() + self.pushes.memory()
    }

    /// Returns how many of these bytes belong to [pushes](Self::push).
    pub fn pushed(&self) -> usize {
        self.pushes.pushed()
    }

    /// Returns the number of text messages that were appended since the buffer was empty, written or not.
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// Appends a text message.
    pub fn text(&mut self, payload: Bytes) {
        self.messages += 1;
        self.count(false, frame_len(payload.len()));
        begin_frame(&mut self.tail, Opcode::Text, payload.len());
        if payload.len() < MIN_SHARED {
            self.tail.extend_from_slice(&payload);
        } else {
            self.append_part(payload);
        }
    }

    /// Appends a push. It is counted in [`pushed`](Self::pushed) until it is written.
    pub fn push(&mut self, frame: &SharedFrame) {
        self.messages += frame.messages;
        self.count(true, frame.frame.len());
        if frame.frame.len() < MIN_SHARED {
            self.end_full_tail(frame.frame.len());
            self.tail.extend_from_slice(&frame.frame);
        } else {
            self.append_part(frame.frame.clone());
        }
    }

    /// Appends a ping without a body.
    pub fn ping(&mut self) {
        self.control(Opcode::Ping, &[]);
    }

    /// Appends the pong that answers a ping with this body, of at most 125 bytes.
    pub fn pong(&mut self, body: &[u8]) {
        self.control(Opcode::Pong, body);
    }

    fn control(&mut self, opcode: Opcode, body: &[u8]) {
        self.count(false, frame_len(body.len()));
        begin_frame(&mut self.tail, opcode, body.len());
        self.tail.extend_from_slice(body);
    }

    /// Appends a close frame. A reason of more than 123 bytes is shortened to whole characters.
    pub fn close(&mut self, code: u16, reason: &str) {
        let before = self.tail.len();
        close_frame(&mut self.tail, code, reason);
        self.count(false, self.tail.len() - before);
    }

    /// Appends a close frame without a body.
    pub fn close_without_code(&mut self) {
        self.control(Opcode::Close, &[]);
    }

    /// Begins a text message whose payload is to be appended to [`tail`](Self::tail). Returns where it begins there.
    /// Nothing else may be appended before [`end_text`](Self::end_text).
    pub fn begin_text(&mut self) -> usize {
        self.tail.extend_from_slice(&[0; RESERVED]);
        self.tail.len()
    }

    /// Returns the bytes that end with the text that was begun.
    pub fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.tail
    }

    /// Ends the text that begins at `start` of the tail. If it is empty, there is no message.
    pub fn end_text(&mut self, start: usize) {
        let len = self.tail.len() - start;
        let begin = start - RESERVED;
        if len == 0 {
            self.tail.truncate(begin);
            return;
        }
        let header_len = frame_len(len) - len;
        // Moves the text if its header is longer than what was reserved, which costs less than to measure it first.
        let moved = header_len - RESERVED;
        self.tail.resize(self.tail.len() + moved, 0);
        self.tail.copy_within(start..start + len, start + moved);
        let mut header = Vec::new();
        if moved == 0 {
            // The common case, without the vector.
            self.tail[begin] = 0x80 | Opcode::Text.bits();
            self.tail[begin + 1] = len as u8;
        } else {
            begin_frame(&mut header, Opcode::Text, len);
            self.tail[begin..begin + header_len].copy_from_slice(&header);
        }
        self.messages += 1;
        self.count(false, header_len + len);
    }

    /// Removes the text that begins at `start` of the tail.
    pub fn cancel_text(&mut self, start: usize) {
        self.tail.truncate(start - RESERVED);
    }

    /// Removes the text that begins at `start` of the tail, and returns its payload.
    pub fn take_text(&mut self, start: usize) -> Vec<u8> {
        let payload = self.tail.split_off(start);
        self.tail.truncate(start - RESERVED);
        payload
    }

    /// Fills `slices` from the front, and returns how many there are.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let tail = &self.tail[self.tail_written..];
        let parts = self.parts.iter().map(|part| &part[..]).chain((!tail.is_empty()).then_some(tail));
        let mut count = 0;
        for (slice, part) in slices.iter_mut().zip(parts) {
            *slice = IoSlice::new(part);
            count += 1;
        }
        count
    }

    /// Returns the bytes if they are in one piece.
    pub fn as_one_slice(&self) -> Option<&[u8]> {
        self.parts.is_empty().then(|| &self.tail[self.tail_written..])
    }

    /// Removes the first `len` bytes, which were written.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn advance(&mut self, len: usize) {
        assert!(len <= self.len, "{len} bytes written of {}", self.len);
        if len < self.len {
            self.partial = self.partial_after(len);
        }
        self.remove(len);
    }

    /// Removes the first `len` bytes.
    fn remove(&mut self, len: usize) {
        if len == self.len {
            return self.clear();
        }
        self.len -= len;
        self.pushes.remove(len);
        let mut rest = len;
        while rest > 0 {
            let Some(part) = self.parts.front_mut() else {
                self.tail_written += rest;
                break;
            };
            let taken = rest.min(part.len());
            part.advance(taken);
            rest -= taken;
            if part.is_empty() {
                self.parts.pop_front();
            }
        }
    }

    /// Removes all frames but the rest of one whose beginning was written: without it the next frame could not be read.
    pub fn remove_unbegun(&mut self) {
        let mut rest = Vec::with_capacity(self.partial);
        let parts = self.parts.iter().map(|part| &part[..]).chain([&self.tail[self.tail_written..]]);
        for part in parts {
            rest.extend_from_slice(&part[..part.len().min(self.partial - rest.len())]);
        }
        let partial = self.partial;
        *self = Self { tail: rest, len: partial, partial, ..Self::default() };
    }

    /// Moves all of `other`, which is not empty, to the end.
    fn append(&mut self, other: &mut Self) {
        if self.is_empty() {
            self.clear();
            self.partial = other.partial;
        }
        self.messages += other.messages;
        self.pushes.append(&mut other.pushes, other.len, self.len);
        self.len += other.len;
        for part in std::mem::take(&mut other.parts) {
            self.append_part(part);
        }
        let tail = &other.tail[other.tail_written..];
        if tail.len() > KEPT_CAPACITY {
            let mut tail = std::mem::take(&mut other.tail);
            // It may have grown to twice its length. Only a log keeps it for long.
            tail.shrink_to_fit();
            let mut tail = Bytes::from(tail);
            tail.advance(other.tail_written);
            self.append_part(tail);
        } else {
            self.end_full_tail(tail.len());
            self.tail.extend_from_slice(tail);
        }
        other.clear();
    }

    /// Appends a copy of all of `other`, which has `messages` messages and begins with a frame. What is large is shared.
    pub(super) fn append_copy(&mut self, other: &Self, messages: usize) {
        debug_assert_eq!(other.partial, 0, "the beginning of the first frame is missing");
        self.messages += messages;
        self.pushes.append_copy(&other.pushes, other.len, self.len);
        self.len += other.len;
        for part in &other.parts {
            if part.len() < MIN_SHARED {
                self.tail.extend_from_slice(part);
            } else {
                self.append_part(part.clone());
            }
        }
        let tail = &other.tail[other.tail_written..];
        self.end_full_tail(tail.len());
        self.tail.extend_from_slice(tail);
    }

    /// Returns the length of the first `count` frames, or `None` if there are fewer. The first must begin at the front.
    pub(super) fn len_of(&self, count: usize) -> Option<usize> {
        let mut cursor = Cursor { parts: self.parts.iter(), slice: &[], tail: Some(&self.tail[self.tail_written..]) };
        let mut len = 0;
        for _ in 0..count {
            let payload_len = cursor.frame_header()?;
            cursor.skip(payload_len)?;
            len += frame_len(payload_len);
        }
        Some(len)
    }

    /// Removes the first `count` frames, and returns their length. The first must begin at the front. `None` if there are fewer.
    pub(super) fn remove_frames(&mut self, count: usize) -> Option<usize> {
        /// What was removed is kept up to this length, or that of the rest: moving the rest costs more.
        const MAX_REMOVED: usize = 4 << 10;
        let len = self.len_of(count)?;
        let before = self.len_of_part_at(len);
        self.remove(len);
        // A buffer that is written becomes empty in the end. One that is acknowledged may never do.
        if self.tail_written > MAX_REMOVED.max(self.tail.len() / 2) {
            self.tail.drain(..std::mem::take(&mut self.tail_written));
        }
        // Most of a burst may be acknowledged, and the last message never.
        if self.tail.capacity() > 4 * self.tail.len() + MAX_REMOVED {
            self.tail.shrink_to(2 * self.tail.len());
        }
        // What is left of a part has all the memory of the part. Copied whenever its length passes a power of two, it has at
        // most twice its own, or that of the limit, and the copies together are shorter than twice the part.
        if let (Some(before), Some(part)) = (before, self.parts.front_mut())
            && before >= MAX_REMOVED
            && before.ilog2() != part.len().ilog2()
        {
            *part = Bytes::copy_from_slice(part);
        }
        shrink_queue(&mut self.parts);
        self.pushes.shrink();
        Some(len)
    }

    /// Returns the length of the part that has the byte at `at`. `None` if the tail has it.
    fn len_of_part_at(&self, mut at: usize) -> Option<usize> {
        for part in &self.parts {
            if at < part.len() {
                return Some(part.len());
            }
            at -= part.len();
        }
        None
    }

    /// Frees the memory that nothing is in. For a buffer to which nothing will be appended.
    pub(super) fn shrink_to_fit(&mut self) {
        self.tail.shrink_to_fit();
        self.parts.shrink_to_fit();
    }

    /// Returns the payload of each text message, and whether it is a push. The first frame must begin at the front.
    pub(super) fn texts(&self) -> impl Iterator<Item = (bool, Vec<u8>)> + '_ {
        let mut cursor = Cursor { parts: self.parts.iter(), slice: &[], tail: Some(&self.tail[self.tail_written..]) };
        let (mut at, mut kinds) = (0, self.pushes.kinds());
        std::iter::from_fn(move || {
            let payload_len = cursor.frame_header()?;
            let payload = cursor.take(payload_len)?;
            let is_push = kinds.is_push(at);
            at += frame_len(payload_len);
            Some((is_push, payload))
        })
    }

    /// Returns the whole frames from the front, with a copy of each payload. For logs and tests.
    pub fn frames(&self) -> impl Iterator<Item = (Opcode, Vec<u8>)> + '_ {
        let mut at = self.partial;
        std::iter::from_fn(move || {
            if at >= self.len {
                return None;
            }
            let (header_len, len) = self.header_at(at);
            let opcode = Opcode::from_bits(self.byte(at) & 0x0f).ok()?;
            let payload = (at + header_len..at + header_len + len).map(|at| self.byte(at)).collect();
            at += header_len + len;
            Some((opcode, payload))
        })
    }

    /// Counts bytes that are appended, of a push or not.
    fn count(&mut self, is_push: bool, len: usize) {
        self.pushes.add(is_push, len, self.len);
        self.len += len;
    }

    fn append_part(&mut self, part: Bytes) {
        self.end_tail();
        self.parts.push_back(part);
    }

    /// Makes the tail a part, so that another one begins. It is copied if it is a small piece of its memory, which is then used
    /// again: a header would otherwise leave with all that its buffer keeps.
    fn end_tail(&mut self) {
        let tail = &self.tail[self.tail_written..];
        if tail.len() < self.tail.capacity() / 2 || self.tail_written > MAX_SPARE {
            let tail = Bytes::copy_from_slice(tail);
            self.tail.clear();
            self.tail_written = 0;
            if !tail.is_empty() {
                self.parts.push_back(tail);
            }
        } else if !tail.is_empty() {
            let mut tail = std::mem::take(&mut self.tail);
            if tail.capacity() - tail.len() > MAX_SPARE {
                tail.shrink_to_fit();
            }
            let mut tail = Bytes::from(tail);
            tail.advance(std::mem::take(&mut self.tail_written));
            self.parts.push_back(tail);
        }
    }

    /// Begins another tail if this one would have to grow much for `additional` bytes. The log of a client that does not read
    /// would otherwise have up to twice the memory of what it contains, and be copied whenever it grows.
    #[inline]
    pub(super) fn end_full_tail(&mut self, additional: usize) {
        if self.tail.len() + additional > KEPT_CAPACITY {
            self.end_tail();
        }
    }

    fn clear(&mut self) {
        self.parts = VecDeque::new();
        self.tail.clear();
        self.tail.shrink_to(KEPT_CAPACITY);
        self.pushes = PushCount::default();
        (self.tail_written, self.len, self.partial, self.messages) = (0, 0, 0, 0);
    }

    /// Returns how many bytes remain of the frame that contains the byte at `len`, 0 if a frame begins there.
    fn partial_after(&self, len: usize) -> usize {
        let mut end = self.partial;
        while end < len {
            let (header_len, payload_len) = self.header_at(end);
            end += header_len + payload_len;
        }
        end - len
    }

    /// Returns the lengths of the header and the payload of the frame at `at`.
    fn header_at(&self, at: usize) -> (usize, usize) {
        match self.byte(at + 1) {
            126 => (4, usize::from(u16::from_be_bytes([self.byte(at + 2), self.byte(at + 3)]))),
            127 => (10, u64::from_be_bytes(std::array::from_fn(|byte| self.byte(at + 2 + byte))) as usize),
            len => (2, len.into()),
        }
    }

    fn byte(&self, mut at: usize) -> u8 {
        for part in &self.parts {
            if at < part.len() {
                return part[at];
            }
            at -= part.len();
        }
        self.tail[self.tail_written + at]
    }
}

/// Reads the bytes of a buffer from the front.
struct Cursor<'a> {
    parts: std::collections::vec_deque::Iter<'a, Bytes>,
    slice: &'a [u8],
    /// What follows the parts, until it is reached.
    tail: Option<&'a [u8]>,
}

impl Cursor<'_> {
    fn byte(&mut self) -> Option<u8> {
        while self.slice.is_empty() {
            self.next_slice()?;
        }
        let (first, rest) = self.slice.split_first()?;
        self.slice = rest;
        Some(*first)
    }

    /// Reads a header, and returns the length of the payload. `None` at the end.
    fn frame_header(&mut self) -> Option<usize> {
        self.byte()?;
        let extended = match self.byte()? {
            126 => 2,
            127 => 8,
            len => return Some(len.into()),
        };
        let mut len = 0;
        for _ in 0..extended {
            len = len << 8 | usize::from(self.byte()?);
        }
        Some(len)
    }

    /// Copies bytes.
    fn take(&mut self, len: usize) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            if self.slice.is_empty() {
                self.next_slice()?;
            }
            let (taken, rest) = self.slice.split_at(self.slice.len().min(len - bytes.len()));
            bytes.extend_from_slice(taken);
            self.slice = rest;
        }
        Some(bytes)
    }

    fn skip(&mut self, mut len: usize) -> Option<()> {
        while len > self.slice.len() {
            len -= self.slice.len();
            self.next_slice()?;
        }
        self.slice = &self.slice[len..];
        Some(())
    }

    fn next_slice(&mut self) -> Option<()> {
        self.slice = match self.parts.next() {
            Some(part) => part,
            None => self.tail.take()?,
        };
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The bytes of a buffer.
    fn bytes(buffer: &FrameBuffer) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 100];
        let count = buffer.slices(&mut slices);
        slices[..count].iter().flat_map(|slice| slice.to_vec()).collect()
    }

    fn payload(len: usize) -> Vec<u8> {
        (0..len).map(|at| at as u8).collect()
    }

    #[test]
    fn a_text_in_place_gets_its_header() {
        for len in [1, 125, 126, 65_535, 65_536] {
            let mut buffer = FrameBuffer::default();
            buffer.ping();
            let start = buffer.begin_text();
            buffer.tail().extend_from_slice(&payload(len));
            buffer.end_text(start);
            buffer.ping();
            let expected = [&[0x89, 0][..], &SharedFrame::text(&payload(len)).frame, &[0x89, 0]].concat();
            assert_eq!((bytes(&buffer), buffer.len()), (expected.clone(), expected.len()));
        }
    }

    #[test]
    fn an_empty_or_taken_text_leaves_nothing() {
        let mut buffer = FrameBuffer::default();
        let start = buffer.begin_text();
        buffer.end_text(start);
        let start = buffer.begin_text();
        buffer.tail().extend_from_slice(b"abc");
        assert_eq!(buffer.take_text(start), b"abc");
        assert!(buffer.is_empty() && bytes(&buffer).is_empty());
    }

    /// A log whose client does not read: its memory was up to twice what it contains, and was not counted.
    #[test]
    fn small_pushes_take_little_more_memory_than_their_bytes() {
        for first in [0, 100, 20_000, 40_000, 60_000, 65_000] {
            let mut log = FrameBuffer::default();
            let mut rest = FrameBuffer::default();
            rest.push(&SharedFrame::text(&vec![b'x'; first]));
            rest.push(&SharedFrame::text(b"small"));
            log.append(&mut rest);
            let mut most: usize = 0;
            for _ in 0..4000 {
                log.push(&SharedFrame::text(&[b'x'; 250]));
                assert!(log.memory() <= log.len() + 2 * KEPT_CAPACITY + 4000, "{} of {}", log.memory(), log.len());
                most = most.max(log.parts.iter().map(Bytes::len).max().unwrap_or(0));
            }
            assert!(most <= KEPT_CAPACITY.max(first + 20) && log.parts.len() < 4000 / 200, "{most}");
        }
    }

    #[test]
    fn a_header_does_not_take_the_memory_of_its_buffer_with_it() {
        let mut buffer = FrameBuffer::default();
        buffer.text(vec![b'x'; 10].into());
        buffer.tail().reserve(60_000);
        let capacity = buffer.capacity();
        buffer.text(vec![b'x'; 1000].into());
        assert_eq!((buffer.parts.len(), buffer.capacity()), (2, capacity));
        assert!(buffer.memory() <= buffer.len() + capacity + 200);
    }

    #[test]
    fn large_payloads_are_shared() {
        let shared = SharedFrame::text(&payload(1000));
        let (mut a, mut b) = (FrameBuffer::default(), FrameBuffer::default());
        for buffer in [&mut a, &mut b] {
            buffer.ping();
            buffer.push(&shared);
        }
        let large = |buffer: &FrameBuffer| buffer.parts[1].as_ptr();
        assert_eq!(large(&a), large(&b));
    }

    #[derive(Debug, Clone)]
    enum Operation {
        Text(usize),
        InPlace(usize),
        Push(usize),
        /// Several at once.
        Pushes(Vec<usize>),
        Pong(usize),
        Write(usize),
        /// The rest is taken out, another frame appended, and the rest put back before it.
        TakeAndPutBack(usize),
    }

    fn operation() -> impl Strategy<Value = Operation> {
        let len = prop_oneof![16 => 1..200_usize, 4 => 500..520_usize, 1 => 65_530..65_540_usize];
        prop_oneof![
            len.clone().prop_map(Operation::Text),
            len.clone().prop_map(Operation::InPlace),
            len.clone().prop_map(Operation::Push),
            prop::collection::vec(len.clone(), 1..10).prop_map(Operation::Pushes),
            (0..=125_usize).prop_map(Operation::Pong),
            prop_oneof![0..20_usize, 0..100_000_usize].prop_map(Operation::Write),
            len.prop_map(Operation::TakeAndPutBack),
        ]
    }

    proptest! {
        /// A list of whole frames behaves the same.
        #[test]
        fn nothing_is_lost_or_reordered(operations in prop::collection::vec(operation(), 1..20)) {
            let mut buffer = FrameBuffer::default();
            // Each frame: whether it is a push, and its bytes that are not written.
            let mut model: VecDeque<(bool, Vec<u8>, bool)> = VecDeque::new();
            let frame = |len| SharedFrame::text(&payload(len));
            for operation in operations {
                match operation {
                    Operation::Text(len) => {
                        buffer.text(payload(len).into());
                        model.push_back((false, frame(len).frame.to_vec(), false));
                    }
                    Operation::InPlace(len) => {
                        let start = buffer.begin_text();
                        buffer.tail().extend_from_slice(&payload(len));
                        buffer.end_text(start);
                        model.push_back((false, frame(len).frame.to_vec(), false));
                    }
                    Operation::Push(len) => {
                        buffer.push(&frame(len));
                        model.push_back((true, frame(len).frame.to_vec(), false));
                    }
                    Operation::Pushes(lens) => {
                        buffer.push(&SharedFrame::texts(&lens.iter().copied().map(payload).collect::<Vec<_>>()));
                        model.extend(lens.into_iter().map(|len| (true, frame(len).frame.to_vec(), false)));
                    }
                    Operation::Pong(len) => {
                        buffer.pong(&payload(len));
                        let mut pong = frame(len).frame.to_vec();
                        pong[0] = 0x8a;
                        model.push_back((false, pong, false));
                    }
                    Operation::Write(len) => {
                        let len = len.min(buffer.len());
                        let expected: Vec<u8> = model.iter().flat_map(|(_, bytes, _)| bytes).copied().take(len).collect();
                        prop_assert_eq!(&bytes(&buffer)[..len], &expected);
                        buffer.advance(len);
                        let mut rest = len;
                        while rest > 0 {
                            let (_, first, begun) = &mut model[0];
                            let taken = rest.min(first.len());
                            first.drain(..taken);
                            *begun = true;
                            rest -= taken;
                            if first.is_empty() {
                                model.pop_front();
                            }
                        }
                    }
                    Operation::TakeAndPutBack(len) => {
                        let mut taken = std::mem::take(&mut buffer);
                        buffer.push(&frame(len));
                        taken.append(&mut buffer);
                        buffer = taken;
                        model.push_back((true, frame(len).frame.to_vec(), false));
                    }
                }
                let all: Vec<u8> = model.iter().flat_map(|(_, bytes, _)| bytes).copied().collect();
                prop_assert_eq!(bytes(&buffer), all);
                prop_assert_eq!(buffer.len(), model.iter().map(|(_, bytes, _)| bytes.len()).sum::<usize>());
                let pushed = model.iter().filter(|(push, ..)| *push).map(|(_, bytes, _)| bytes.len()).sum::<usize>();
                prop_assert_eq!(buffer.pushed(), pushed);
            }
            let partial = model.front().filter(|(_, _, begun)| *begun).map_or(vec![], |(_, bytes, _)| bytes.clone());
            buffer.remove_unbegun();
            prop_assert_eq!((bytes(&buffer), buffer.len(), buffer.pushed()), (partial.clone(), partial.len(), 0));
        }
    }
}
