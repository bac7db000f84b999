//! From bytes to messages.

use std::borrow::Cow;

use super::close::CloseFrame;
use super::frame_header::{FrameHeader, MAX_HEADER_LEN, Opcode};
use super::text_assembler::{TextAssembler, validate};
use super::violation::Violation;

/// A message of a client, or a control frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    /// A text message. Borrowed if it has arrived whole and in one frame.
    Text(Cow<'a, str>),
    /// A binary message, borrowed as a text is.
    Binary(Cow<'a, [u8]>),
    /// A ping with its body, which the pong repeats.
    Ping(Cow<'a, [u8]>),
    /// A pong with its body.
    Pong(Cow<'a, [u8]>),
    /// A close frame. The client sends no further messages.
    Close(Option<CloseFrame>),
}

/// The default of [`MessageDecoder::with_max_frames`].
pub const MAX_FRAMES: u32 = 65_536;

/// The frames after which [`MessageDecoder::decode`] returns, whether or not they complete a message.
const FRAMES_PER_DECODE: u32 = 64;

/// The result of [`MessageDecoder::decode`].
#[derive(Debug)]
pub struct Decoded<'a> {
    /// The number of bytes that were taken from the front of the input. With no message, all of them, or those of 64 frames.
    pub consumed: usize,
    /// The first message that these bytes complete.
    pub message: Option<Message<'a>>,
    /// The number of frames that these bytes complete. Each takes time, also if it is empty and completes no message.
    pub frames: u32,
}

/// Decodes what a client sends after the handshake.
///
/// Between messages it stores nothing; within one, what has arrived of it, so a header that declares a large payload costs
/// no memory.
#[derive(Debug)]
pub struct MessageDecoder {
    max_message: usize,
    max_frames: u32,
    /// What has arrived of an incomplete frame or message.
    pub(super) partial: Option<Box<Partial>>,
}

#[derive(Debug, Default)]
pub(super) struct Partial {
    /// The frame whose payload arrives, and the bytes of it that have arrived.
    frame: Option<(FrameHeader, u64)>,
    /// The first bytes of a header that is incomplete.
    header: [u8; MAX_HEADER_LEN],
    header_len: usize,
    /// The message whose last frame is incomplete, or has not arrived.
    pub(super) message: Option<PartialMessage>,
    /// The frames that have arrived of that message.
    frames: u32,
    /// The payload of a control frame, which may arrive between the fragments of a message.
    control: Vec<u8>,
}

#[derive(Debug)]
pub(super) enum PartialMessage {
    Text(TextAssembler),
    Binary(Vec<u8>),
}

impl MessageDecoder {
    /// Creates a decoder that accepts messages of up to `max_message` bytes.
    pub fn new(max_message: usize) -> Self {
        Self { max_message, max_frames: MAX_FRAMES, partial: None }
    }

    /// Sets how many frames a message may consist of. Default [`MAX_FRAMES`]: a message of 1 MiB in frames of 16 bytes. Without
    /// a limit, a message of empty frames never ends.
    #[must_use]
    pub fn with_max_frames(self, max_frames: u32) -> Self {
        Self { max_frames, ..self }
    }

    /// Returns the number of bytes that are allocated for an incomplete message: at most twice what has arrived of it, and
    /// some 300 bytes. 0 between messages.
    pub fn stored(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| size_of::<Partial>() + partial.capacity())
    }

    /// Returns whether `input` has more behind the first frame. Meant to decide whether work can be shared by several
    /// messages; within a message that is incomplete, it returns `false`.
    pub fn has_several(&self, input: &[u8]) -> bool {
        let header = || FrameHeader::parse(input).ok().flatten();
        self.partial.is_none()
            && header().is_some_and(|(header, header_len)| (input.len() - header_len) as u64 > header.len)
    }

    /// Takes bytes from the front of `input`, and returns the first message that they complete. To be called again with the
    /// rest until all is taken. It returns after 64 frames without a message, so that the caller can count the time that they
    /// take. The bytes are unmasked in place.
    ///
    /// # Errors
    /// If the client has violated RFC 6455. The decoder must not be used any more.
    pub fn decode<'a>(&mut self, input: &'a mut [u8]) -> Result<Decoded<'a>, Violation> {
        if self.partial.is_none() {
            if input.is_empty() {
                return Ok(Decoded { consumed: 0, message: None, frames: 0 });
            }
            // A whole message in one frame, which nearly all are: it stays where it lies.
            if let Some((header, header_len)) = FrameHeader::parse(input)? {
                self.check(&header, None)?;
                // A length beyond the limit of a message is refused above; a control frame is short.
                let len = header.len as usize;
                if header.is_final && input.len() - header_len >= len {
                    let payload = &mut input[header_len..header_len + len];
                    header.mask.apply(0, payload);
                    let message = whole_message(header.opcode, payload)?;
                    return Ok(Decoded { consumed: header_len + len, message: Some(message), frames: 1 });
                }
            }
        }
        let mut partial = self.partial.take().unwrap_or_default();
        let (mut consumed, mut frames) = (0, 0);
        let message = self.continue_partial(&mut partial, input, &mut consumed, &mut frames)?;
        if !partial.is_empty() {
            self.partial = Some(partial);
        }
        Ok(Decoded { consumed, message, frames })
    }

    fn continue_partial(
        &self,
        partial: &mut Partial,
        input: &mut [u8],
        consumed: &mut usize,
        frames: &mut u32,
    ) -> Result<Option<Message<'static>>, Violation> {
        while *frames < FRAMES_PER_DECODE {
            let (header, arrived) = match partial.frame {
                Some(frame) => frame,
                None => match partial.take_header(&mut input[*consumed..])? {
                    (taken, Some(header)) => {
                        *consumed += taken;
                        self.check(&header, partial.message.as_ref())?;
                        (header, 0)
                    }
                    (taken, None) => {
                        *consumed += taken;
                        return Ok(None);
                    }
                },
            };
            let rest = &mut input[*consumed..];
            let missing = header.len - arrived;
            let len = usize::try_from(missing).map_or(rest.len(), |missing| missing.min(rest.len()));
            let payload = &mut rest[..len];
            // Only the offset modulo 4 matters.
            header.mask.apply((arrived % 4) as usize, payload);
            *consumed += len;
            // What can still arrive of the message: the rest of its last frame, or anything up to the limit.
            let max_following =
                if header.is_final { missing as usize } else { self.max_message - partial.message_len() };
            partial.append(&header, payload, max_following)?;
            if (len as u64) < missing {
                partial.frame = Some((header, arrived + len as u64));
                return Ok(None);
            }
            partial.frame = None;
            *frames += 1;
            if !header.opcode.is_control() {
                partial.frames += 1;
                if partial.frames >= self.max_frames && !header.is_final {
                    return Err(Violation::TooManyFrames { max: self.max_frames });
                }
            }
            if let Some(message) = partial.end_frame(&header)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// Checks that a frame may follow what has arrived.
    fn check(&self, header: &FrameHeader, message: Option<&PartialMessage>) -> Result<(), Violation> {
        match (header.opcode, message) {
            (Opcode::Continuation, None) => return Err(Violation::UnexpectedContinuation),
            (Opcode::Text | Opcode::Binary, Some(_)) => return Err(Violation::ExpectedContinuation),
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => return Ok(()),
            _ => {}
        }
        let before = message.map_or(0, PartialMessage::len);
        if header.len > self.max_message.saturating_sub(before) as u64 {
            return Err(Violation::MessageTooLong { max: self.max_message });
        }
        Ok(())
    }
}

impl Partial {
    fn is_empty(&self) -> bool {
        self.frame.is_none() && self.header_len == 0 && self.message.is_none()
    }

    fn message_len(&self) -> usize {
        self.message.as_ref().map_or(0, PartialMessage::len)
    }

    /// Takes bytes of a header. Returns how many were taken, and the header if it is complete.
    fn take_header(&mut self, input: &mut [u8]) -> Result<(usize, Option<FrameHeader>), Violation> {
        let stored = self.header_len;
        let len = input.len().min(MAX_HEADER_LEN - stored);
        self.header[stored..stored + len].copy_from_slice(&input[..len]);
        match FrameHeader::parse(&self.header[..stored + len])? {
            Some((header, header_len)) => {
                self.header_len = 0;
                Ok((header_len - stored, Some(header)))
            }
            None => {
                self.header_len += len;
                Ok((len, None))
            }
        }
    }

    fn capacity(&self) -> usize {
        self.control.capacity() + self.message.as_ref().map_or(0, PartialMessage::capacity)
    }

    /// Appends unmasked bytes of a frame's payload. At most `max_following` bytes of the message can still arrive, these
    /// included.
    fn append(&mut self, header: &FrameHeader, payload: &[u8], max_following: usize) -> Result<(), Violation> {
        if header.opcode.is_control() {
            self.control.extend_from_slice(payload);
            return Ok(());
        }
        let message = self.message.get_or_insert_with(|| match header.opcode {
            Opcode::Binary => PartialMessage::Binary(Vec::new()),
            // A continuation has a message, see `check`.
            _ => PartialMessage::Text(TextAssembler::default()),
        });
        match message {
            PartialMessage::Text(text) => text.append(payload, max_following)?,
            PartialMessage::Binary(bytes) => bytes.extend_from_slice(payload),
        }
        Ok(())
    }

    /// Ends a frame. Returns its message if this was the last frame.
    fn end_frame(&mut self, header: &FrameHeader) -> Result<Option<Message<'static>>, Violation> {
        if header.opcode.is_control() {
            let body = std::mem::take(&mut self.control);
            return Ok(Some(match header.opcode {
                Opcode::Ping => Message::Ping(body.into()),
                Opcode::Pong => Message::Pong(body.into()),
                _ => Message::Close(CloseFrame::parse(&body)?),
            }));
        }
        if !header.is_final {
            return Ok(None);
        }
        self.frames = 0;
        Ok(match self.message.take() {
            Some(PartialMessage::Text(text)) => Some(Message::Text(text.finish()?.into())),
            Some(PartialMessage::Binary(bytes)) => Some(Message::Binary(bytes.into())),
            // `append` has created it, also for an empty payload.
            None => None,
        })
    }
}

impl PartialMessage {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    fn capacity(&self) -> usize {
        match self {
            Self::Text(text) => text.capacity(),
            Self::Binary(bytes) => bytes.capacity(),
        }
    }
}

/// Returns the message of an unmasked payload that is not fragmented.
#[inline]
fn whole_message(opcode: Opcode, payload: &[u8]) -> Result<Message<'_>, Violation> {
    Ok(match opcode {
        Opcode::Text => Message::Text(validate(payload)?.into()),
        // A continuation without a message was refused by `check`.
        Opcode::Binary | Opcode::Continuation => Message::Binary(payload.into()),
        Opcode::Ping => Message::Ping(payload.into()),
        Opcode::Pong => Message::Pong(payload.into()),
        Opcode::Close => Message::Close(CloseFrame::parse(payload)?),
    })
}
