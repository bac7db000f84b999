//! The messages that were sent and are not acknowledged.

use std::collections::VecDeque;

use super::encode::frame_len;
use super::frame_buffer::{FrameBuffer, SharedFrame};
use crate::codec;
use crate::hello::GAP;

/// The messages that a server has sent on a resumable connection and its client has not acknowledged, in their order.
///
/// Messages are counted from 1. Small ones are copied, large ones are shared with the buffer that they were written from. Pushes
/// can be dropped; a gap then stands in their place, and counts as they did. A log without messages has no memory.
#[derive(Debug, Default)]
pub struct RetainedLog {
    segments: VecDeque<Segment>,
    acknowledged: u64,
    messages: usize,
    bytes: usize,
}

#[derive(Debug)]
enum Segment {
    Frames {
        frames: FrameBuffer,
        messages: usize,
    },
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
        self.messages
    }

    /// Returns their bytes, with their headers, apart from those that gaps stand for.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the bytes that belong to pushes.
    pub fn pushed(&self) -> usize {
        let pushed = |segment: &Segment| match segment {
            Segment::Frames { frames, .. } => frames.pushed(),
            Segment::Gap(_) => 0,
        };
        self.segments.iter().map(pushed).sum()
    }

    /// Returns the number of the last message that was acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Returns the number of the last message.
    pub fn last(&self) -> u64 {
        self.acknowledged + self.messages as u64
    }

    /// Appends a copy of text messages of which nothing has been written. There must be no other frames among them.
    pub fn append(&mut self, frames: &FrameBuffer) {
        if !frames.is_empty() {
            self.bytes += frames.len();
            self.add_messages(frames.messages()).append_copy(frames, frames.messages());
        }
    }

    /// Appends a push.
    pub fn push(&mut self, frame: &SharedFrame) {
        self.bytes += frame.frame_len();
        self.add_messages(frame.messages()).push(frame);
    }

    /// Appends a gap that stands for this number of messages.
    pub fn lose(&mut self, messages: usize) {
        self.messages += messages;
        match self.segments.back_mut() {
            Some(Segment::Gap(lost)) => *lost += messages,
            _ => self.segments.push_back(Segment::Gap(messages)),
        }
    }

    /// Puts gaps in the place of all pushes.
    pub fn drop_pushes(&mut self) {
        if self.pushed() == 0 {
            return;
        }
        let all = std::mem::take(self);
        self.acknowledged = all.acknowledged;
        for segment in all.segments {
            match segment {
                Segment::Gap(lost) => self.lose(lost),
                Segment::Frames { frames, .. } => {
                    for (is_push, payload) in frames.texts() {
                        if is_push {
                            self.lose(1);
                        } else {
                            self.bytes += frame_len(payload.len());
                            self.add_messages(1).text(payload.into());
                        }
                    }
                }
            }
        }
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
        let mut count = number.saturating_sub(self.acknowledged) as usize;
        self.acknowledged += count as u64;
        self.messages -= count;
        while count > 0
            && let Some(first) = self.segments.front_mut()
        {
            let (contained, bytes) = match first {
                Segment::Gap(contained) => (contained, 0),
                Segment::Frames { frames, messages: contained } if *contained <= count => (contained, frames.len()),
                // All frames are whole, so they can be counted.
                Segment::Frames { frames, messages } => (messages, frames.remove_frames(count).unwrap_or_default()),
            };
            let forgotten = count.min(*contained);
            count -= forgotten;
            *contained -= forgotten;
            self.bytes -= bytes;
            if *contained == 0 {
                self.segments.pop_front();
            }
        }
        if self.segments.is_empty() {
            self.segments = VecDeque::new();
        }
        Ok(())
    }

    /// Returns all messages, to be sent again.
    pub fn frames(&self) -> FrameBuffer {
        let mut all = FrameBuffer::default();
        for segment in &self.segments {
            match segment {
                Segment::Frames { frames, messages } => all.append_copy(frames, *messages),
                Segment::Gap(lost) => all.text(codec::message(GAP, &serde_json::json!({ "lost": lost })).into()),
            }
        }
        all
    }

    /// Returns the buffer for further messages, and counts them.
    fn add_messages(&mut self, count: usize) -> &mut FrameBuffer {
        self.messages += count;
        if !matches!(self.segments.back(), Some(Segment::Frames { .. })) {
            self.segments.push_back(Segment::Frames { frames: FrameBuffer::default(), messages: 0 });
        }
        match self.segments.back_mut() {
            Some(Segment::Frames { frames, messages }) => {
                *messages += count;
                frames
            }
            _ => unreachable!("it was appended"),
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
        assert_eq!(log.segments.capacity(), 0);
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

    #[derive(Debug, Clone)]
    enum Operation {
        /// A turn with messages: whether each is a push, and its length.
        Turn(Vec<(bool, usize)>),
        Push(usize),
        Lose(usize),
        DropPushes,
        /// In thousandths of what is not acknowledged.
        Acknowledge(usize),
    }

    fn operation() -> impl Strategy<Value = Operation> {
        let len = prop_oneof![8 => 8..200_usize, 2 => 500..520_usize, 1 => 65_530..65_540_usize];
        prop_oneof![
            prop::collection::vec((any::<bool>(), len.clone()), 0..6).prop_map(Operation::Turn),
            len.prop_map(Operation::Push),
            (1..4_usize).prop_map(Operation::Lose),
            Just(Operation::DropPushes),
            (0..=1000_usize).prop_map(Operation::Acknowledge),
        ]
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
                    Operation::DropPushes => {
                        log.drop_pushes();
                        for (is_push, payload) in &mut model {
                            payload.take_if(|_| *is_push);
                        }
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
            }
        }
    }
}
