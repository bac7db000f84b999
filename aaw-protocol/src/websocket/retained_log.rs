//! The messages that were sent and are not acknowledged.

use std::collections::VecDeque;

use super::encode::frame_len;
use super::frame_buffer::{FrameBuffer, Frames, SharedFrame};
use crate::codec;
use crate::hello::GAP;
use crate::shrink_queue::shrink_queue;

/// The messages that a server has sent on a resumable connection and its client has not acknowledged, in their order.
///
/// Messages are counted from 1. Small ones are copied, large ones are shared with the buffer that they were written from. Pushes
/// can be dropped; a gap then stands in their place, and counts as they did. A log without messages has no memory.
#[derive(Debug, Default)]
pub struct RetainedLog {
    acknowledged: u64,
    content: Option<Box<Content>>,
}

/// The messages of a log that has some. Small, because thousands of clients acknowledge a response only after a while.
#[derive(Debug, Default)]
struct Content {
    /// What precedes the last gap, and the gap.
    older: Option<Box<Older>>,
    last: Run,
}

/// Messages without a gap.
#[derive(Debug, Default)]
struct Run {
    frames: Frames,
    messages: usize,
}

#[derive(Debug, Default)]
struct Older {
    segments: VecDeque<Segment>,
    messages: usize,
    bytes: usize,
    /// The bytes that belong to pushes.
    pushed: usize,
    /// The memory of the runs, in bytes.
    memory: usize,
}

/// A run of pushes of fewer bytes is not replaced by a gap, which needs as much memory.
const MIN_GAP: usize = 256;

#[derive(Debug)]
enum Segment {
    Run(Run),
    /// The number of messages that were dropped.
    Gap(usize),
}

/// A number that acknowledges messages which were never sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("message {acknowledged} was never sent; the last is {last}")]
pub struct NeverSent {
    acknowledged: u64,
    last: u64,
}

impl RetainedLog {
    /// Returns the number of messages that are not acknowledged.
    pub fn messages(&self) -> usize {
        let Some(content) = &self.content else { return 0 };
        content.last.messages + content.older().map_or(0, |older| older.messages)
    }

    /// Returns their bytes, with their headers, apart from those that gaps stand for.
    pub fn bytes(&self) -> usize {
        let Some(content) = &self.content else { return 0 };
        content.last.frames.len() + content.older().map_or(0, |older| older.bytes)
    }

    /// Returns the bytes that belong to pushes.
    pub fn pushed(&self) -> usize {
        let Some(content) = &self.content else { return 0 };
        content.last.frames.pushed() + content.older().map_or(0, |older| older.pushed)
    }

    /// Returns about how much memory the log has, in bytes: also what it has allocated for more messages, or for some that
    /// were acknowledged. What is shared with other logs counts in full. The cost is constant.
    pub fn memory(&self) -> usize {
        let Some(content) = &self.content else { return 0 };
        let older = content.older().map_or(0, |older| older.memory + older.segments.capacity() * size_of::<Segment>());
        size_of::<Content>() + content.last.frames.memory() + older
    }

    /// Returns the number of the last message that was acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Returns the number of the last message.
    pub fn last(&self) -> u64 {
        self.acknowledged + self.messages() as u64
    }

    /// Appends a copy of text messages of which nothing has been written. There must be no other frames among them.
    pub fn append(&mut self, frames: &FrameBuffer) {
        if !frames.is_empty() {
            self.last_run().append_copy(frames, frames.messages());
        }
    }

    /// Appends a push.
    pub fn push(&mut self, frame: &SharedFrame) {
        let run = self.last_run();
        run.messages += frame.messages();
        run.frames.push(frame);
    }

    /// Appends a gap that stands for this number of messages.
    pub fn lose(&mut self, messages: usize) {
        self.content.get_or_insert_default().lose(messages);
    }

    /// Puts gaps in the place of the pushes that follow the first `kept` bytes of pushes. A few small ones between other messages
    /// stay, because a gap needs as much memory. Returns whether any was dropped.
    ///
    /// The cost is linear in the messages.
    pub fn drop_pushes(&mut self, kept: usize) -> bool {
        let before = self.bytes();
        if self.pushed() <= kept {
            return false;
        }
        let mut dropped = Vec::new();
        for segment in self.content.take().into_iter().flat_map(|content| content.into_segments()) {
            match segment {
                Segment::Gap(lost) => {
                    self.replace(&mut dropped);
                    self.lose(lost);
                }
                Segment::Run(run) => {
                    for (is_push, payload) in run.frames.texts() {
                        let len = frame_len(payload.len());
                        if !is_push {
                            self.replace(&mut dropped);
                            self.last_run().text(payload);
                        } else if dropped.is_empty() && self.pushed() + len <= kept {
                            self.push(&SharedFrame::text(&payload));
                        } else {
                            dropped.push(payload);
                        }
                    }
                }
            }
        }
        self.replace(&mut dropped);
        self.bytes() < before
    }

    /// Appends a gap for these pushes, or the pushes themselves if they are few.
    fn replace(&mut self, pushes: &mut Vec<Vec<u8>>) {
        let bytes: usize = pushes.iter().map(|payload| frame_len(payload.len())).sum();
        if bytes >= MIN_GAP || self.content.as_ref().is_some_and(|content| content.ends_with_gap()) {
            if !pushes.is_empty() {
                self.lose(pushes.len());
            }
        } else {
            pushes.iter().for_each(|payload| self.push(&SharedFrame::text(payload)));
        }
        pushes.clear();
    }

    /// Checks that there was a message with this number.
    ///
    /// # Errors
    /// There was none.
    pub fn check_sent(&self, number: u64) -> Result<(), NeverSent> {
        let last = self.last();
        if number > last { Err(NeverSent { acknowledged: number, last }) } else { Ok(()) }
    }

    /// Forgets all messages up to the one with this number.
    ///
    /// # Errors
    /// There is no such message. Nothing is forgotten.
    pub fn acknowledge(&mut self, number: u64) -> Result<(), NeverSent> {
        self.check_sent(number)?;
        // Not more than there are.
        let count = number.saturating_sub(self.acknowledged) as usize;
        if count == self.messages() {
            self.content = None;
        } else if let Some(content) = &mut self.content {
            content.remove(count);
        }
        self.acknowledged += count as u64;
        Ok(())
    }

    /// Returns all messages, to be sent again.
    pub fn frames(&self) -> FrameBuffer {
        let mut all = FrameBuffer::default();
        let Some(content) = &self.content else { return all };
        for segment in content.older().into_iter().flat_map(|older| &older.segments) {
            match segment {
                Segment::Run(run) => all.append_copy(&run.frames, run.messages),
                Segment::Gap(lost) => all.text(codec::message(GAP, &serde_json::json!({ "lost": lost })).into()),
            }
        }
        if !content.ends_with_gap() {
            all.append_copy(&content.last.frames, content.last.messages);
        }
        all
    }

    fn last_run(&mut self) -> &mut Run {
        &mut self.content.get_or_insert_default().last
    }
}

impl Content {
    fn older(&self) -> Option<&Older> {
        self.older.as_deref()
    }

    fn ends_with_gap(&self) -> bool {
        self.last.messages == 0
    }

    fn into_segments(self) -> impl Iterator<Item = Segment> {
        let older = self.older.map(|older| older.segments).unwrap_or_default();
        older.into_iter().chain([Segment::Run(self.last)])
    }

    fn lose(&mut self, messages: usize) {
        let older = self.older.get_or_insert_default();
        if self.last.messages > 0 {
            let mut run = std::mem::take(&mut self.last);
            run.frames.shrink_to_fit();
            older.memory += run.frames.memory();
            older.messages += run.messages;
            older.bytes += run.frames.len();
            older.pushed += run.frames.pushed();
            older.segments.push_back(Segment::Run(run));
        }
        older.messages += messages;
        match older.segments.back_mut() {
            Some(Segment::Gap(lost)) => *lost += messages,
            _ => older.segments.push_back(Segment::Gap(messages)),
        }
    }

    /// Removes the first `count` messages, fewer than there are.
    fn remove(&mut self, count: usize) {
        let mut rest = count;
        if let Some(older) = &mut self.older {
            rest -= older.remove(count);
            if older.segments.is_empty() {
                self.older = None;
            }
        }
        self.last.remove(rest);
    }
}

impl Older {
    /// Removes the first `count` messages, or all if there are fewer. Returns their number.
    fn remove(&mut self, count: usize) -> usize {
        let mut rest = count;
        while rest > 0
            && let Some(first) = self.segments.front_mut()
        {
            let (contained, removed) = match first {
                Segment::Gap(contained) => {
                    let removed = rest.min(*contained);
                    *contained -= removed;
                    (*contained, removed)
                }
                Segment::Run(run) => {
                    let (bytes, pushed, memory) = (run.frames.len(), run.frames.pushed(), run.frames.memory());
                    let removed = rest.min(run.messages);
                    run.remove(removed);
                    self.bytes -= bytes - run.frames.len();
                    self.pushed -= pushed - run.frames.pushed();
                    self.memory = self.memory + run.frames.memory() - memory;
                    (run.messages, removed)
                }
            };
            rest -= removed;
            self.messages -= removed;
            if contained == 0 {
                self.segments.pop_front();
            }
        }
        shrink_queue(&mut self.segments);
        count - rest
    }
}

impl Run {
    fn append_copy(&mut self, frames: &Frames, messages: usize) {
        self.messages += messages;
        self.frames.append_copy(frames, messages);
    }

    fn text(&mut self, payload: Vec<u8>) {
        self.messages += 1;
        self.frames.end_full_tail(payload.len());
        self.frames.text(payload.into());
    }

    /// Removes the first `count` messages. There are as many.
    fn remove(&mut self, count: usize) {
        if count == self.messages {
            *self = Self::default();
        } else if count > 0 {
            self.messages -= count;
            self.frames.remove_frames(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn payload(number: usize, len: usize) -> Vec<u8> {
        let mut payload = format!("{number:08}").into_bytes();
        payload.resize(len.max(8), b'x');
        payload
    }

    /// The payloads of frames.
    fn texts(frames: &FrameBuffer) -> Vec<Vec<u8>> {
        frames.frames().map(|(_, payload)| payload).collect()
    }

    #[test]
    fn what_was_never_sent_cannot_be_acknowledged() {
        let mut log = RetainedLog::default();
        log.push(&SharedFrame::text(b"a"));
        assert_eq!(log.acknowledge(2), Err(NeverSent { acknowledged: 2, last: 1 }));
        assert_eq!((log.check_sent(2).is_err(), log.check_sent(1), log.messages()), (true, Ok(()), 1));
        assert_eq!((log.messages(), log.acknowledge(1), log.acknowledge(0)), (1, Ok(()), Ok(())));
        assert_eq!((log.messages(), log.bytes(), log.acknowledged()), (0, 0, 1));
        assert!(log.content.is_none());
    }

    #[test]
    fn large_messages_are_shared() {
        let frame = SharedFrame::text(&payload(1, 5000));
        let mut sent = FrameBuffer::default();
        sent.push(&frame);
        let mut log = RetainedLog::default();
        log.append(&sent);
        log.push(&frame);
        let mut slices = [std::io::IoSlice::new(&[]); 8];
        let again = log.frames();
        let count = again.slices(&mut slices);
        assert_eq!((count, slices[0].as_ptr()), (2, slices[1].as_ptr()));
    }

    /// A log to which one turn after the other appends small responses, of a MiB in all, and then `last`.
    fn log_of_small_responses(last: &[u8]) -> RetainedLog {
        let mut log = RetainedLog::default();
        for number in 0..10_000 {
            let mut turn = FrameBuffer::default();
            turn.text(payload(number, 100).into());
            log.append(&turn);
        }
        let mut turn = FrameBuffer::default();
        turn.text(last.to_vec().into());
        log.append(&turn);
        log
    }

    /// A client that acknowledges all responses but the last made the server hold a MiB that counted as 100 bytes.
    #[test]
    fn what_was_acknowledged_leaves_no_memory_and_what_is_left_counts() {
        for step in [1_u64, 100, 10_000] {
            let mut log = log_of_small_responses(b"last");
            assert!(log.memory() >= log.bytes() && log.memory() < log.bytes() + (150 << 10), "{}", log.memory());
            for number in (step..=10_000).step_by(step as usize) {
                log.acknowledge(number).unwrap();
            }
            let allocated = log.content.as_ref().unwrap().last.frames.memory();
            assert_eq!(log.messages(), 1);
            assert!((allocated..12 << 10).contains(&log.memory()), "{} of {allocated}, by {step}", log.memory());
        }
    }

    /// Pushes that alternate with responses, and gaps, have lists of their own.
    #[test]
    fn lists_that_were_long_leave_no_memory() {
        let mut log = RetainedLog::default();
        for number in 0..4000 {
            log.push(&SharedFrame::text(&payload(number, 20)));
            let mut turn = FrameBuffer::default();
            turn.text(payload(number, 600).into());
            log.append(&turn);
            if number < 2000 {
                log.lose(1);
            }
        }
        log.acknowledge(log.last() - 2).unwrap();
        assert!(log.memory() < 12 << 10, "{}", log.memory());
        assert!(log.content.as_ref().unwrap().last.frames.memory() < 12 << 10);
    }

    /// What is left of a shared or ended piece of the log kept all of its memory.
    #[test]
    fn the_rest_of_a_part_moves_to_a_smaller_one() {
        let mut log = log_of_small_responses(&payload(0, 5000));
        let first = |log: &RetainedLog| {
            let mut slices = [std::io::IoSlice::new(&[])];
            assert_eq!(log.content.as_ref().unwrap().last.frames.slices(&mut slices), 1);
            slices[0].as_ptr_range()
        };
        // Within the last part of small ones.
        log.acknowledge(9700).unwrap();
        let before = first(&log);
        // The last small one.
        log.acknowledge(9999).unwrap();
        assert_eq!(log.messages(), 2);
        assert!(!before.contains(&first(&log).start), "the memory of what was acknowledged before it is kept");
    }

    #[derive(Debug, Clone)]
    enum Operation {
        /// A turn with messages: whether each is a push, and its length.
        Turn(Vec<(bool, usize)>),
        Push(usize),
        Lose(usize),
        /// All but the first of so many bytes.
        DropPushes(usize),
        /// In thousandths of what is not acknowledged.
        Acknowledge(usize),
    }

    fn operation() -> impl Strategy<Value = Operation> {
        let len = prop_oneof![8 => 8..200_usize, 2 => 500..520_usize, 1 => 65_530..65_540_usize];
        prop_oneof![
            prop::collection::vec((any::<bool>(), len.clone()), 0..6).prop_map(Operation::Turn),
            len.prop_map(Operation::Push),
            (1..4_usize).prop_map(Operation::Lose),
            prop_oneof![Just(0), Just(500), Just(50_000)].prop_map(Operation::DropPushes),
            (0..=1000_usize).prop_map(Operation::Acknowledge),
        ]
    }

    /// As [`RetainedLog::drop_pushes`].
    fn drop_from_model(model: &mut VecDeque<(bool, Option<Vec<u8>>)>, kept: usize) {
        let len = |payload: &Option<Vec<u8>>| payload.as_ref().map_or(0, |payload| frame_len(payload.len()));
        if model.iter().filter(|(is_push, _)| *is_push).map(|(_, payload)| len(payload)).sum::<usize>() <= kept {
            return;
        }
        let (mut pushed, mut at) = (0, 0);
        while at < model.len() {
            if !model[at].0 || model[at].1.is_none() || pushed + len(&model[at].1) <= kept {
                pushed += if model[at].0 { len(&model[at].1) } else { 0 };
                at += 1;
                continue;
            }
            let end = (at..model.len()).find(|at| !model[*at].0 || model[*at].1.is_none()).unwrap_or(model.len());
            let bytes: usize = (at..end).map(|at| len(&model[at].1)).sum();
            if bytes >= MIN_GAP || (at > 0 && model[at - 1].1.is_none()) {
                (at..end).for_each(|at| model[at].1 = None);
            } else {
                pushed += bytes;
            }
            at = end;
        }
    }

    /// As a client can make it, that calls an event which pushes to it. Under the lock of the connection.
    #[test]
    fn dropping_pushes_between_responses_takes_linear_time() {
        let pairs = |count: usize| {
            let mut log = RetainedLog::default();
            for number in 0..count {
                let mut turn = FrameBuffer::default();
                turn.push(&SharedFrame::text(&payload(number, 300)));
                turn.text(payload(number, 20).into());
                log.append(&turn);
            }
            log
        };
        let took = |mut log: RetainedLog| {
            let started = std::time::Instant::now();
            assert!(log.drop_pushes(0));
            assert_eq!(log.pushed(), 0);
            started.elapsed()
        };
        // Quadratic, it would be 64 times in each round. A busy machine makes some rounds look so.
        let is_linear = || took(pairs(16_000)) < took(pairs(2000)) * 24;
        assert!((0..50).any(|_| is_linear()), "8 times as many take far more than 8 times as long");
    }

    #[test]
    fn small_pushes_between_responses_stay_because_a_gap_would_be_larger() {
        let mut log = RetainedLog::default();
        for number in 0..100 {
            let mut turn = FrameBuffer::default();
            turn.push(&SharedFrame::text(&payload(number, 20)));
            turn.text(payload(number, 20).into());
            log.append(&turn);
        }
        let memory = log.memory();
        assert!(!log.drop_pushes(0));
        assert_eq!((log.memory(), log.pushed()), (memory, 2200));
    }

    proptest! {
        /// A list of messages behaves the same: `None` is one that was dropped.
        #[test]
        fn messages_stay_until_they_are_acknowledged(operations in prop::collection::vec(operation(), 1..30)) {
            let mut log = RetainedLog::default();
            let mut model: VecDeque<(bool, Option<Vec<u8>>)> = VecDeque::new();
            let mut number = 0;
            for operation in operations {
                match operation {
                    Operation::Turn(messages) => {
                        let mut turn = FrameBuffer::default();
                        for (is_push, len) in messages {
                            number += 1;
                            let payload = payload(number, len);
                            if is_push {
                                turn.push(&SharedFrame::text(&payload));
                            } else {
                                turn.text(payload.clone().into());
                            }
                            model.push_back((is_push, Some(payload)));
                        }
                        log.append(&turn);
                    }
                    Operation::Push(len) => {
                        number += 2;
                        let payloads = [payload(number - 1, len), payload(number, 9)];
                        log.push(&SharedFrame::texts(&payloads));
                        model.extend(payloads.map(|payload| (true, Some(payload))));
                    }
                    Operation::Lose(lost) => {
                        log.lose(lost);
                        model.extend((0..lost).map(|_| (true, None)));
                    }
                    Operation::DropPushes(kept) => {
                        log.drop_pushes(kept);
                        drop_from_model(&mut model, kept);
                    }
                    Operation::Acknowledge(part) => {
                        let count = model.len() * part / 1000;
                        prop_assert_eq!(log.acknowledge(log.acknowledged() + count as u64), Ok(()));
                        model.drain(..count);
                    }
                }
                let mut expected: Vec<Vec<u8>> = Vec::new();
                let mut lost = 0;
                for (_, payload) in model.iter().chain([&(false, Some(Vec::new()))]) {
                    match payload {
                        None => lost += 1,
                        Some(payload) => {
                            if std::mem::take(&mut lost) > 0 {
                                expected.push(Vec::new());
                            }
                            expected.push(payload.clone());
                        }
                    }
                }
                expected.pop();
                let frames = log.frames();
                let found: Vec<_> = texts(&frames)
                    .into_iter()
                    .map(|text| if text.starts_with(b"[\"aaw/gap\"") { Vec::new() } else { text })
                    .collect();
                prop_assert_eq!(found, expected);
                let kept = model.iter().filter_map(|(is_push, payload)| Some((is_push, payload.as_ref()?)));
                let (mut bytes, mut pushed) = (0, 0);
                for (is_push, payload) in kept {
                    bytes += frame_len(payload.len());
                    pushed += if *is_push { frame_len(payload.len()) } else { 0 };
                }
                prop_assert_eq!((log.messages(), log.bytes(), log.pushed()), (model.len(), bytes, pushed));
                let older = log.content.as_ref().and_then(|content| content.older());
                let of_runs = |segment: &Segment| if let Segment::Run(run) = segment { run.frames.memory() } else { 0 };
                let memory = older.map_or(0, |older| older.segments.iter().map(of_runs).sum());
                prop_assert_eq!(older.map_or(0, |older| older.memory), memory);
            }
        }
    }
}
