//! Interprets bytes as what a client sends, as the parts that it arrives in, and as what a server sends, and compares the
//! framing of `aaw_protocol::websocket` with tungstenite's. The property test generates the bytes, the fuzz target `websocket`
//! receives them from libFuzzer; both include this file.
//!
//! The invariants, for any bytes of a client:
//!
//! - The messages and the violation do not depend on the parts that the bytes arrive in.
//! - Without a violation, tungstenite returns the same messages, and no error. It takes the close code 1014, which IANA's
//!   registry has, for one that must not be sent.
//! - With a violation, tungstenite returns the same messages and then an error, except for:
//!   - A length that is not encoded in the fewest bytes (RFC 6455, 5.2). tungstenite accepts it.
//!   - A close frame with a code that must not be sent (7.4). tungstenite returns a close frame with the code 1002.
//!   - A frame that has not arrived whole. tungstenite checks a frame when it is complete; so it is completed first, with what
//!     continues a text best.
//! - A wrong byte of a text is found when it arrives: without it, tungstenite accepts the text.
//! - The allocated memory is proportional to what has arrived of a message, and 0 between messages.
//!
//! For any messages of a server: tungstenite's client reads what the encoder has written.

use std::io::{self, Cursor, Read, Write};

use aaw_protocol::websocket::{
    CloseFrame, Decoded, Message, MessageDecoder, Opcode, Violation, begin_frame, close_frame, frame_len,
};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message as TheirMessage, WebSocket};

/// Runs one connection.
pub(crate) fn exercise(bytes: &[u8]) {
    let mut input = Input(bytes);
    let max_message = [10, 200, 70_000][usize::from(input.byte()) % 3];
    let splits: Vec<_> = (0..input.byte() % 8).map(|_| input.u16()).collect();
    // libFuzzer finds sequences of its own, too.
    let stream = match input.byte() {
        0xff => input.0.to_vec(),
        wrong_at => ClientFrames::new(max_message, usize::from(wrong_at) % 32).generate(&mut input),
    };

    let run = Run::new(&stream, &[], max_message);
    let mut splits: Vec<_> = splits.into_iter().map(|split| split % (stream.len() + 1)).collect();
    splits.sort_unstable();
    assert_eq!(Run::new(&stream, &splits, max_message).outcome(), run.outcome(), "in parts that end at {splits:?}");
    if stream.len() < 3000 {
        let each_byte: Vec<_> = (1..stream.len()).collect();
        assert_eq!(Run::new(&stream, &each_byte, max_message).outcome(), run.outcome(), "byte by byte");
    }
    compare_with_oracle(&stream, &run, max_message);
    compare_encoder(&run.messages);
}

/// What the decoder makes of a client's bytes.
struct Run {
    messages: Vec<Message<'static>>,
    violation: Option<Violation>,
}

impl Run {
    /// Decodes bytes that arrive in parts that end at `splits`, up to a close frame or a violation.
    fn new(stream: &[u8], splits: &[usize], max_message: usize) -> Self {
        let mut run = Self { messages: Vec::new(), violation: None };
        let mut decoder = MessageDecoder::new(max_message);
        let mut start = 0;
        // The bytes since the last text or binary message.
        let mut unfinished = 0;
        for end in splits.iter().copied().chain([stream.len()]) {
            let mut part = stream[start..end].to_vec();
            start = end;
            let mut rest = &mut part[..];
            loop {
                let rest_len = rest.len();
                match decoder.decode(rest) {
                    Ok(Decoded { consumed, message: Some(message), .. }) => {
                        assert!(0 < consumed && consumed <= rest_len);
                        let message = into_owned(message);
                        let is_close = matches!(message, Message::Close(_));
                        unfinished += consumed;
                        if matches!(message, Message::Text(_) | Message::Binary(_)) {
                            assert_eq!(decoder.stored(), 0);
                            unfinished = 0;
                        }
                        run.messages.push(message);
                        if is_close {
                            return run;
                        }
                        rest = &mut rest[consumed..];
                    }
                    Ok(Decoded { consumed, message: None, frames }) => {
                        assert!(consumed == rest_len || frames == 64, "{frames}");
                        unfinished += consumed;
                        assert!(decoder.stored() <= 300 + 2 * unfinished, "{} for {unfinished}", decoder.stored());
                        if consumed == rest_len {
                            break;
                        }
                        rest = &mut rest[consumed..];
                    }
                    Err(violation) => {
                        run.violation = Some(violation);
                        return run;
                    }
                }
            }
        }
        run
    }

    fn outcome(&self) -> (&[Message<'static>], Option<Violation>) {
        (&self.messages, self.violation)
    }
}

fn into_owned(message: Message<'_>) -> Message<'static> {
    match message {
        Message::Text(text) => Message::Text(text.into_owned().into()),
        Message::Binary(bytes) => Message::Binary(bytes.into_owned().into()),
        Message::Ping(body) => Message::Ping(body.into_owned().into()),
        Message::Pong(body) => Message::Pong(body.into_owned().into()),
        Message::Close(frame) => Message::Close(frame),
    }
}

/// Compares a run with tungstenite's.
fn compare_with_oracle(stream: &[u8], run: &Run, max_message: usize) {
    let mut expected: Vec<_> = run.messages.iter().map(their_message).collect();
    match run.violation {
        None => {
            let (theirs, error) = read_all(stream, Role::Server, max_message);
            assert_eq!(theirs, expected);
            assert!(error.is_none(), "only tungstenite refuses it: {error:?}");
        }
        Some(Violation::LengthNotMinimal(_)) => {
            let (theirs, _) = read_all(stream, Role::Server, max_message);
            assert!(theirs.starts_with(&expected), "{theirs:?}, expected {expected:?}");
        }
        Some(Violation::InvalidCloseCode(code)) => {
            let (theirs, error) = read_all(stream, Role::Server, max_message);
            // It checks the reason first.
            if !matches!(error, Some(Error::Utf8(_))) {
                expected.push(their_message(&Message::Close(Some(CloseFrame { code, reason: String::new() }))));
                assert!(error.is_none(), "{error:?}");
            }
            assert_eq!(theirs, expected);
        }
        Some(violation) => {
            let shows_it = |end| Run::new(&stream[..end], &[], max_message).violation.is_some();
            let end = first(stream.len(), shows_it);
            let completed = Completed::new(&stream[..end], max_message);
            let (theirs, error) = read_all(&completed.stream, Role::Server, max_message);
            assert_eq!(theirs, expected);
            let agrees = match violation.close_code() {
                1007 => matches!(error, Some(Error::Utf8(_))),
                1009 => matches!(error, Some(Error::Capacity(_))),
                // The frame is also too long.
                _ => matches!(error, Some(Error::Protocol(_) | Error::Capacity(_))),
            };
            assert!(agrees, "{violation}, and tungstenite's {error:?}");
            let before = Completed::new(&stream[..end - 1], max_message);
            if violation == Violation::InvalidUtf8 && before.continues_text {
                let (theirs, error) = read_all(&before.stream, Role::Server, max_message);
                assert!(theirs.starts_with(&expected), "{theirs:?}, expected {expected:?}");
                assert!(error.is_none(), "noticed too late: {error:?}");
            }
        }
    }
}

/// Returns the first number up to `max` that `is` is true of, as it is of all from there on.
fn first(max: usize, is: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, max);
    while low < high {
        let middle = low.midpoint(high);
        if is(middle) { high = middle } else { low = middle + 1 }
    }
    low
}

/// Writes the messages as a server does, and compares them with what tungstenite's client reads.
fn compare_encoder(messages: &[Message<'static>]) {
    let mut stream = Vec::new();
    for message in messages {
        let start = stream.len();
        let (opcode, payload) = match message {
            Message::Text(text) => (Opcode::Text, text.as_bytes()),
            Message::Binary(bytes) => (Opcode::Binary, &bytes[..]),
            Message::Ping(body) => (Opcode::Ping, &body[..]),
            Message::Pong(body) => (Opcode::Pong, &body[..]),
            Message::Close(Some(frame)) => {
                close_frame(&mut stream, frame.code, &frame.reason);
                continue;
            }
            Message::Close(None) => (Opcode::Close, &[][..]),
        };
        begin_frame(&mut stream, opcode, payload.len());
        stream.extend_from_slice(payload);
        assert_eq!(stream.len() - start, frame_len(payload.len()));
    }
    let (theirs, error) = read_all(&stream, Role::Client, usize::MAX);
    let expected: Vec<_> = messages.iter().map(their_message).collect();
    assert_eq!(theirs, expected);
    assert!(error.is_none(), "{error:?}");
}

/// What tungstenite returns for a message that it receives.
fn their_message(message: &Message<'static>) -> TheirMessage {
    match message {
        Message::Text(text) => TheirMessage::text(text.clone().into_owned()),
        Message::Binary(bytes) => TheirMessage::binary(bytes.clone().into_owned()),
        Message::Ping(body) => TheirMessage::Ping(body.clone().into_owned().into()),
        Message::Pong(body) => TheirMessage::Pong(body.clone().into_owned().into()),
        Message::Close(None) => TheirMessage::Close(None),
        Message::Close(Some(CloseFrame { code, reason })) => {
            let is_known = aaw_protocol::websocket::is_valid_close_code(*code) && *code != 1014;
            let (code, reason) = if is_known { (*code, &reason[..]) } else { (1002, "Protocol violation") };
            TheirMessage::Close(Some(tungstenite::protocol::CloseFrame { code: code.into(), reason: reason.into() }))
        }
    }
}

/// Reads up to a close frame, an error, or the end. That the connection ends without a close frame is no error here.
fn read_all(stream: &[u8], role: Role, max_message: usize) -> (Vec<TheirMessage>, Option<Error>) {
    struct Socket<'a>(&'a [u8]);

    impl Read for Socket<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Socket<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .max_message_size(Some(max_message))
        // A control frame may be longer than the longest message.
        .max_frame_size(Some(max_message.max(125)));
    let mut socket = WebSocket::from_raw_socket(Socket(stream), role, Some(config));
    let mut messages = Vec::new();
    loop {
        match socket.read() {
            Ok(message) => messages.push(message),
            Err(Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)) => {
                return (messages, None);
            }
            Err(error) => return (messages, Some(error)),
        }
        if matches!(messages.last(), Some(TheirMessage::Close(_))) {
            return (messages, None);
        }
    }
}

/// A client's bytes with the rest of their last frame.
struct Completed {
    stream: Vec<u8>,
    /// Whether bytes of a text were missing, and those that were added complete it or leave it incomplete, as the frame is.
    continues_text: bool,
}

impl Completed {
    fn new(stream: &[u8], max_message: usize) -> Self {
        let mut cursor = Cursor::new(stream.to_vec());
        let mut continues_text = false;
        // The text of the current message, up to where it is.
        let mut text = Vec::new();
        let mut is_text = false;
        loop {
            let start = cursor.position() as usize;
            let arrived = cursor.get_ref().len();
            let (header, len) = match FrameHeader::parse(&mut cursor) {
                Ok(Some(frame)) => frame,
                // Masked and empty, if these are not decided yet.
                Ok(None) if arrived > start => {
                    cursor.get_mut().push(if arrived == start + 1 { 0x80 } else { 1 });
                    continue;
                }
                Ok(None) | Err(_) => break,
            };
            // It is refused by its header.
            if len > max_message.max(125) as u64 {
                break;
            }
            let payload_start = cursor.position() as usize;
            let end = payload_start + len as usize;
            let key = header.mask.unwrap_or_default();
            let arrived = arrived.min(end);
            match header.opcode {
                OpCode::Data(Data::Text) => is_text = true,
                OpCode::Data(Data::Binary) => is_text = false,
                _ => {}
            }
            let has_text = is_text && matches!(header.opcode, OpCode::Data(Data::Text | Data::Continue));
            if has_text {
                let payload = cursor.get_ref()[payload_start..arrived].iter();
                text.extend(payload.zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
            }
            if arrived < end {
                let missing = end - arrived;
                let mut rest = if has_text { rest_of_character(&text) } else { Vec::new() };
                continues_text = has_text && (rest.len() <= missing || !header.is_final);
                rest.resize(missing, b'a');
                for (at, byte) in (arrived - payload_start..).zip(rest) {
                    cursor.get_mut().push(byte ^ key[at % 4]);
                }
                break;
            }
            if header.is_final && !matches!(header.opcode, OpCode::Control(Control::Ping | Control::Pong)) {
                text.clear();
                is_text = false;
            }
            cursor.set_position(end as u64);
        }
        Self { stream: cursor.into_inner(), continues_text }
    }
}

/// Returns bytes that complete the last character of a text, if it is incomplete.
fn rest_of_character(text: &[u8]) -> Vec<u8> {
    let Err(error) = std::str::from_utf8(text) else { return Vec::new() };
    let begun = &text[error.valid_up_to()..];
    let rests: [&[u8]; 7] = [b"\x80", b"\x80\x80", b"\xa0\x80", b"\x80\x80\x80", b"\x90\x80\x80", b"\xa0", b"\x90\x80"];
    let completes = |rest: &&&[u8]| std::str::from_utf8(&[begun, rest].concat()).is_ok();
    rests.iter().find(completes).map_or(Vec::new(), |rest| rest.to_vec())
}

/// The bytes that remain. Zeros follow them.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        byte
    }

    fn u16(&mut self) -> usize {
        usize::from(u16::from_be_bytes([self.byte(), self.byte()]))
    }

    fn choose<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.byte()) % of.len()]
    }
}

/// Generates valid frames, and one that is wrong if `wrong_at` comes before the end. Then it may corrupt them.
struct ClientFrames {
    stream: Vec<u8>,
    max_message: usize,
    /// The number of valid frames before the wrong one.
    wrong_at: usize,
    /// The message whose last fragment was not sent.
    message: Option<OpenMessage>,
}

#[derive(Clone, Copy)]
struct OpenMessage {
    is_text: bool,
    len: usize,
}

/// A character of each length. Texts repeat them, so that fragments end within characters.
const CHARACTERS: &str = "aé€👋z";
/// Where the encoding of a length changes, and where a text is validated in another way.
const LENGTHS: [usize; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 63, 64, 65, 125, 126, 127, 128, 257];
const CODES: [u16; 16] = [0, 999, 1000, 1003, 1004, 1005, 1006, 1007, 1011, 1014, 1015, 1016, 2999, 3000, 4999, 5000];

impl ClientFrames {
    fn new(max_message: usize, wrong_at: usize) -> Self {
        Self { stream: Vec::new(), max_message, wrong_at, message: None }
    }

    fn generate(mut self, input: &mut Input<'_>) -> Vec<u8> {
        let corruption = input.byte();
        let at = input.u16();
        for frame in 0.. {
            if input.0.is_empty() {
                break;
            }
            if frame == self.wrong_at {
                self.wrong(input);
            } else {
                self.valid(input);
            }
        }
        let len = self.stream.len().max(1);
        match corruption {
            // A bit is wrong.
            0..64 => self.stream.iter_mut().skip(at % len).take(1).for_each(|byte| *byte ^= 1 << (corruption % 8)),
            // The end is missing.
            64..128 => self.stream.truncate(len - 1 - at % len),
            _ => {}
        }
        self.stream
    }

    fn valid(&mut self, input: &mut Input<'_>) {
        let operation = input.byte();
        let is_final = operation & 0x80 != 0;
        match operation % 0x80 {
            0..80 => {
                let len = input.choose(&LENGTHS);
                self.data(input, operation % 4 == 3, is_final, len);
            }
            // One input has few long messages.
            80..82 => self.data(input, operation == 80, is_final, 65_530 + usize::from(operation)),
            82..84 => {
                let code = input.choose(&[1000, 1001, 1011, 1014, 3000, 4999_u16]).to_be_bytes();
                let reason = &CHARACTERS.repeat(11)[..[0, 1, 3, 121][usize::from(input.byte()) % 4]];
                let body = if is_final { [&code[..], reason.as_bytes()].concat() } else { Vec::new() };
                self.frame(input, 0x88, &body);
            }
            84..108 => self.control(0x89, input),
            _ => self.control(0x8a, input),
        }
    }

    fn wrong(&mut self, input: &mut Input<'_>) {
        let operation = input.byte();
        let continues = self.message.is_some();
        let first = if continues { 0x00 } else { 0x01 } | operation & 0x80;
        match operation % 12 {
            0..3 => {
                let before = input.byte();
                let mut text = b"abc\xc3\xa9".repeat(usize::from(before) % 100);
                text.push(input.choose(b"\x80\xbf\xc0\xc3\xdf\xe0\xe2\xed\xf0\xf1\xf4\xf5\xff"));
                // Without it, the text may end within a character.
                if before >= 128 {
                    text.push(input.choose(b"\x80\x8f\x90\x9f\xa0\xbfa\xff"));
                }
                self.frame(input, first, &text);
                // Fragments that follow continue it, or begin with the rest of another character.
                self.message = (operation < 0x80).then_some(OpenMessage { is_text: true, len: usize::from(before) });
            }
            3 => {
                let code = input.choose(&CODES).to_be_bytes();
                let reason = [&b""[..], b"a", b"\xc3", b"\xff"][usize::from(operation) % 4];
                self.frame(input, 0x88, &[&code[..], reason].concat());
            }
            4 => self.frame(input, 0x88, b"\x03"),
            // A control frame that is a fragment, or too long.
            5 => self.frame(input, 0x08 | operation >> 4 & 3, b"x"),
            6 => self.frame(input, 0x88 | operation >> 4 & 3, &[b'x'; 126]),
            // A frame that does not fit the message.
            7 => self.frame(input, if continues { 0x01 } else { 0x00 } | operation & 0x80, b"x"),
            // Any first byte.
            8 => {
                let first = input.byte();
                self.frame(input, first, b"x");
            }
            // A message that is too long.
            9 => {
                let len = self.message.map_or(0, |message| message.len);
                let payload = vec![b'x'; self.max_message + 1 - len.min(self.max_message)];
                self.frame(input, first, &payload);
            }
            // Any length, in any encoding, masked or not.
            _ => {
                let second = input.choose(&[0xfe, 0xff, 0x7e, 0x7f, 0x05]);
                let len: Vec<_> = (0..8).map(|_| input.choose(&[0, 0, 0, 0, 1, 125, 126, 127, 128, 255])).collect();
                self.stream.extend_from_slice(&[first, second]);
                self.stream.extend_from_slice(&len[..if second & 1 == 0 { 2 } else { 8 }]);
            }
        }
    }

    /// Sends the next fragment of the message, or a new one, and no more than a message may have.
    fn data(&mut self, input: &mut Input<'_>, is_binary: bool, is_final: bool, len: usize) {
        let new = OpenMessage { is_text: !is_binary, len: 0 };
        let (opcode, mut message) = match self.message {
            Some(message) => (0, message),
            None => (if is_binary { 2 } else { 1 }, new),
        };
        // A character that has begun still fits.
        let len = len.min(self.max_message.saturating_sub(message.len + 3));
        let mut payload = Vec::with_capacity(len + 3);
        let boundary = |at: usize| CHARACTERS.is_char_boundary(at % CHARACTERS.len());
        while payload.len() < len || (is_final && message.is_text && !boundary(message.len)) {
            payload.push(CHARACTERS.as_bytes()[message.len % CHARACTERS.len()]);
            message.len += 1;
        }
        self.message = (!is_final).then_some(message);
        self.frame(input, if is_final { 0x80 } else { 0 } | opcode, &payload);
    }

    fn control(&mut self, first: u8, input: &mut Input<'_>) {
        let len = usize::from(input.byte()) % 126;
        let byte = input.byte();
        self.frame(input, first, &vec![byte; len]);
    }

    fn frame(&mut self, input: &mut Input<'_>, first: u8, payload: &[u8]) {
        let start = self.stream.len();
        begin_frame(&mut self.stream, Opcode::Binary, payload.len());
        self.stream[start] = first;
        self.stream[start + 1] |= 0x80;
        let seed = input.byte();
        let key = [seed, seed.wrapping_mul(31), seed ^ 0x55, 0];
        self.stream.extend_from_slice(&key);
        self.stream.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    }
}
