//! WebSocket framing for servers ([RFC 6455]), without I/O.
//!
//! [`MessageDecoder`] turns the bytes that a client sent after the handshake into messages. The functions
//! [`begin_frame`], [`frame_len`] and [`close_frame`] write the frames that a server sends: unmasked, and one frame for each
//! message. There are no extensions.
//!
//! The decoder unmasks in place and returns messages that borrow the caller's buffer. It stores only what has arrived of an
//! incomplete frame or message, and nothing between messages.
//!
//! ```
//! use aaw_protocol::websocket::{Decoded, Message, MessageDecoder};
//!
//! // The text "Hi", masked with 37 fa 21 3d, and the first byte of the next frame.
//! let mut bytes = [0x81, 0x82, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x93, 0x81];
//! let mut decoder = MessageDecoder::new(1 << 20);
//! let Decoded { consumed, message, .. } = decoder.decode(&mut bytes)?;
//! assert_eq!((consumed, message), (8, Some(Message::Text("Hi".into()))));
//! let Decoded { consumed, message, .. } = decoder.decode(&mut bytes[8..])?;
//! assert_eq!((consumed, message), (1, None));
//! # Ok::<(), aaw_protocol::websocket::Violation>(())
//! ```
//!
//! [RFC 6455]: https://www.rfc-editor.org/rfc/rfc6455

mod close;
mod decoder;
mod encode;
mod frame_buffer;
mod frame_header;
mod mask;
mod push_count;
mod retained_log;
mod text_assembler;
mod violation;

#[cfg(test)]
mod tests;

pub use close::{CloseFrame, is_valid_close_code};
pub use decoder::{Decoded, MAX_FRAMES, Message, MessageDecoder};
pub use encode::{begin_frame, close_frame, frame_len};
pub use frame_buffer::{FrameBuffer, Frames, MIN_SHARED, SharedFrame};
pub use frame_header::Opcode;
pub use retained_log::{NeverSent, RetainedLog};
pub use violation::Violation;
