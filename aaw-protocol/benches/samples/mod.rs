//! What the benchmarks decode and encode.

use std::time::Instant;

use aaw_protocol::Dialect;
use aaw_protocol::codec;
use aaw_protocol::server::{Completion, Input, Output, ServerConfig, ServerConnection};
use aaw_protocol::websocket::{Decoded, FrameBuffer, Message, MessageDecoder, Opcode, begin_frame};

const MAX_MESSAGE: usize = 1 << 20;

/// The call of an event whose frame is a text of 120 bytes.
pub(crate) fn call(id: i64) -> String {
    let call = format!(
        r#"["echo",{{"user":"alice","text":"The quick brown fox jumps over the lazy dog.","at":17,"pad":""}},{id}]"#
    );
    let pad = "x".repeat(120 - call.len());
    call.replace(r#""pad":"""#, &format!(r#""pad":"{pad}""#))
}

/// Frames of a client, each with a call.
pub(crate) fn calls(count: usize) -> Vec<u8> {
    (1..).take(count).flat_map(|id| masked(call(id).as_bytes())).collect()
}

/// A frame of a client with `len` bytes of ASCII.
pub(crate) fn ascii(len: usize) -> Vec<u8> {
    masked(&b"The quick brown fox. ".repeat(len)[..len])
}

/// A frame of a client with about `len` bytes of text, most of whose characters have two or three bytes.
pub(crate) fn not_ascii(len: usize) -> Vec<u8> {
    masked("Съешь ещё этих мягких 図書館で本を読む。".repeat(len / 60).as_bytes())
}

/// The parts that a frame arrives in.
pub(crate) fn parts(frame: &[u8], len: usize) -> Vec<Vec<u8>> {
    frame.chunks(len).map(<[u8]>::to_vec).collect()
}

/// A frame of a client with this text.
pub(crate) fn masked(text: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = Vec::new();
    begin_frame(&mut frame, Opcode::Text, text.len());
    frame[1] |= 0x80;
    frame.extend_from_slice(&key);
    frame.extend(text.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// Decodes all frames in `bytes`, and passes the texts to `handle`.
pub(crate) fn decode(decoder: &mut MessageDecoder, bytes: &mut [u8], mut handle: impl FnMut(&str)) {
    let mut rest = bytes;
    loop {
        let Decoded { consumed, message, .. } = decoder.decode(rest).expect("valid frames");
        match message {
            Some(Message::Text(text)) => handle(&text),
            Some(_) => unreachable!("only texts are sent"),
            None => return,
        }
        rest = &mut rest[consumed..];
    }
}

pub(crate) fn decoder() -> MessageDecoder {
    MessageDecoder::new(MAX_MESSAGE)
}

/// Decodes a call, and encodes its response with the header of its frame.
pub(crate) fn respond(text: &str, out: &mut Vec<u8>) {
    let frame = codec::decode(text).expect("a call");
    assert!(frame.checked || codec::is_json(frame.data));
    let id = frame.v1_id().expect("a number").expect("a call");
    let mut response = Vec::with_capacity(text.len());
    codec::begin(&mut response, frame.event_json);
    response.extend_from_slice(frame.data.as_bytes());
    codec::end_v1(&mut response, id, codec::Kind::Unmarked);
    begin_frame(out, Opcode::Text, response.len());
    out.extend_from_slice(&response);
}

/// A connection of a client that has said hello.
pub(crate) fn connection() -> ServerConnection {
    let now = Instant::now();
    let mut connection = ServerConnection::new(Dialect::V1, "7f".into(), ServerConfig::default(), now);
    connection.handle_text(now, r#"["aaw/hello",{}]"#);
    while let Some(output) = connection.poll_output() {
        assert!(matches!(output, Output::Welcome(_)), "the welcome");
    }
    connection.set_unsent_bytes(0);
    connection
}

/// What a server does with a call of an event that returns its body, from the text to the response's frame.
pub(crate) fn answer(connection: &mut ServerConnection, now: Instant, text: &str, out: &mut FrameBuffer) {
    connection.handle_sign_of_life(now);
    let Input::Call(call) = connection.handle_text(now, text) else { panic!("not a call: {text}") };
    call.check().expect("a JSON body");
    let start = out.begin_text();
    call.begin_response_in(out.tail());
    out.tail().extend_from_slice(call.body.as_bytes());
    assert!(connection.complete_in_place(&call, out.tail(), start, &Completion::Responded), "one response");
    out.end_text(start);
}
