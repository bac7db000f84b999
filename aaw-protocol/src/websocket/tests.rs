//! The decoder, with each sample split at every byte.

use super::decoder::PartialMessage;
use super::mask::Mask;
use super::*;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A client's frame. `first` is its first byte: FIN, the reserved bits and the opcode.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    begin_frame(&mut frame, Opcode::Text, payload.len());
    frame[0] = first;
    frame[1] |= 0x80;
    frame.extend_from_slice(&KEY);
    let start = frame.len();
    frame.extend_from_slice(payload);
    Mask(KEY).apply(0, &mut frame[start..]);
    frame
}

/// What a decoder returns for bytes that arrive in these parts: the messages, one per line, and the violation that ends them.
fn decode(parts: &[&[u8]]) -> String {
    let mut decoder = MessageDecoder::new(70_000);
    let mut log = String::new();
    for part in parts {
        let mut part = part.to_vec();
        let mut rest = &mut part[..];
        loop {
            let rest_len = rest.len();
            match decoder.decode(rest) {
                Ok(Decoded { consumed, message, frames }) => {
                    let is_done = message.is_none() && consumed == rest_len;
                    if let Some(message) = message {
                        log.push_str(&describe(&message));
                        log.push('\n');
                    } else {
                        assert!(is_done || frames == 64, "{frames}");
                    }
                    rest = &mut rest[consumed..];
                    if is_done {
                        break;
                    }
                }
                Err(violation) => {
                    log.push_str(&format!("{} {violation}\n", violation.close_code()));
                    return log;
                }
            }
        }
    }
    if decoder.partial.is_some() {
        log.push_str("…\n");
    } else {
        assert_eq!(decoder.stored(), 0);
    }
    log
}

fn describe(message: &Message<'_>) -> String {
    let shown = |bytes: &[u8]| if bytes.len() > 20 { format!("{} bytes", bytes.len()) } else { format!("{bytes:?}") };
    match message {
        Message::Text(text) if text.len() > 20 => format!("text of {} bytes", text.len()),
        Message::Text(text) => format!("text {text:?}"),
        Message::Binary(bytes) => format!("binary {}", shown(bytes)),
        Message::Ping(body) => format!("ping {}", shown(body)),
        Message::Pong(body) => format!("pong {}", shown(body)),
        Message::Close(None) => "close".into(),
        Message::Close(Some(frame)) => format!("close {} {:?}", frame.code, frame.reason),
    }
}

/// Checks what the bytes mean: at once, split in two at every byte, and byte by byte.
#[track_caller]
fn check(bytes: &[u8], expected: &str) {
    let expected = format!("{expected}\n");
    assert_eq!(decode(&[bytes]), expected);
    // The middle of a long payload is like the rest of it.
    for at in (0..bytes.len()).filter(|at| *at < 300 || at % 1009 == 0 || bytes.len() - at < 20) {
        let (a, b) = bytes.split_at(at);
        assert_eq!(decode(&[a, b]), expected, "split at {at}");
    }
    if bytes.len() < 1000 {
        let parts: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(decode(&parts), expected, "byte by byte");
    }
}

#[test]
fn messages() {
    check(&frame(0x81, b""), "text \"\"");
    check(&frame(0x81, "grüße 👋".as_bytes()), "text \"grüße 👋\"");
    check(&frame(0x82, &[0, 255]), "binary [0, 255]");
    check(&[frame(0x81, b"a"), frame(0x81, b"b")].concat(), "text \"a\"\ntext \"b\"");
    for len in [125, 126, 127, 255, 256, 257, 65_535, 65_536, 70_000] {
        check(&frame(0x81, &vec![b'x'; len]), &format!("text of {len} bytes"));
        check(&frame(0x82, &vec![0xff; len]), &format!("binary {len} bytes"));
    }
}

#[test]
fn fragments_with_control_frames_between_them() {
    let message = [
        frame(0x01, b"a"),
        frame(0x89, b"1"),
        frame(0x00, b""),
        frame(0x8a, b""),
        frame(0x00, "ü".as_bytes()),
        frame(0x80, b"b"),
        frame(0x81, b"next"),
    ];
    check(&message.concat(), "ping [49]\npong []\ntext \"aüb\"\ntext \"next\"");
    // A character that is split between fragments.
    check(&[frame(0x01, b"\xf0\x9f"), frame(0x00, b"\x91"), frame(0x80, b"\x8b!")].concat(), "text \"👋!\"");
    check(&[frame(0x02, b"\xff"), frame(0x80, b"\x00")].concat(), "binary [255, 0]");
    check(&[frame(0x01, b""), frame(0x80, b"")].concat(), "text \"\"");
    check(&frame(0x01, b"half"), "…");
    check(&[frame(0x01, b"half"), frame(0x88, b"")].concat(), "close\n…");
}

#[test]
fn the_reserved_bits_and_opcodes_are_refused_at_their_byte() {
    for bits in [0x10, 0x20, 0x40, 0x70] {
        check(&[0x81 | bits], "1002 expected the reserved bits of a frame to be 0: no extension was negotiated");
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        check(&[0x80 | opcode], &format!("1002 expected the opcode 0, 1, 2, 8, 9 or 10, found {opcode}"));
    }
}

#[test]
fn control_frames_are_short_and_whole() {
    for opcode in [8, 9, 10] {
        check(&[opcode], "1002 a control frame must not be fragmented");
        for len in [126, 127] {
            check(&[0x80 | opcode, 0x80 | len], "1002 a control frame has at most 125 bytes");
        }
    }
    check(&frame(0x89, &[7; 125]), "ping 125 bytes");
}

#[test]
fn lengths() {
    check(&[0x81, 0x05], "1002 a client must mask its frames");
    check(&[0x81, 0xfe, 0, 125], "1002 the length 125 is not encoded in the fewest bytes");
    check(&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], "1002 the length 65535 is not encoded in the fewest bytes");
    check(&[0x81, 0xff, 0x80], "1002 the highest bit of a frame's length must be 0");
    let huge = [&[0x81, 0xff, 0x7f][..], &[0xff; 7], &KEY].concat();
    check(&huge, "1009 the message is longer than 70000 bytes");
    check(&frame(0x81, &[b'x'; 70_001])[..14], "1009 the message is longer than 70000 bytes");
    let fragments = [frame(0x01, &[b'x'; 40_000]), frame(0x80, &[b'x'; 30_001])].concat();
    check(&fragments, "1009 the message is longer than 70000 bytes");
}

#[test]
fn fragments_follow_their_beginning() {
    check(&frame(0x80, b"a"), "1002 a continuation frame without a message to continue");
    check(&frame(0x00, b"a"), "1002 a continuation frame without a message to continue");
    for first in [0x01, 0x81, 0x02, 0x82] {
        let error = "1002 expected a continuation frame, found the beginning of another message";
        check(&[frame(0x01, b"a"), frame(first, b"b")].concat(), error);
    }
}

#[test]
fn text_that_is_not_utf8_ends_with_its_first_wrong_byte() {
    let wrong: [&[u8]; 9] = [
        b"\x80",
        b"\xff",
        b"\xc0",
        b"\xe0\x80",
        b"\xed\xa0",
        b"\xf0\x80",
        b"\xf4\x90",
        b"\xf8",
        b"a\xce\xba\xe1\xbd\xb9\xf4\x90",
    ];
    for text in wrong {
        let whole = frame(0x81, &[text, b"and more"].concat());
        check(&whole, "1007 the text is not UTF-8");
        // The rest of the frame has not arrived.
        check(&whole[..6 + text.len()], "1007 the text is not UTF-8");
        // A short and a long text before it.
        let long = [&[b'x'; 500], text].concat();
        check(&frame(0x81, &long), "1007 the text is not UTF-8");
        check(&frame(0x01, &long), "1007 the text is not UTF-8");
    }
    for incomplete in [&b"\xc3"[..], b"\xe2\x82", b"\xf0\x9f\x91"] {
        check(&frame(0x81, incomplete), "1007 the text is not UTF-8");
        check(&[frame(0x01, incomplete), frame(0x80, b"a")].concat(), "1007 the text is not UTF-8");
        check(&frame(0x01, incomplete), "…");
    }
}

#[test]
fn close_frames() {
    check(&frame(0x88, b""), "close");
    check(&frame(0x88, b"\x03\xe8"), "close 1000 \"\"");
    check(&frame(0x88, b"\x03\xe9bye \xc3\xbc"), "close 1001 \"bye ü\"");
    check(&frame(0x88, b"\x03"), "1002 the body of a close frame begins with a code of 2 bytes");
    check(&frame(0x88, b"\x03\xe8\xff"), "1007 the text is not UTF-8");
    for code in 0..=u16::MAX {
        let expected = match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => format!("close {code} \"\"\n"),
            _ => format!("1002 {code} is not a code that a close frame may have\n"),
        };
        assert_eq!(decode(&[&frame(0x88, &code.to_be_bytes())]), expected);
    }
}

#[test]
fn memory_grows_with_what_arrives() {
    let mut decoder = MessageDecoder::new(1 << 30);
    // A header that declares 1 GiB, and then 10 KiB of it.
    let mut header = [&[0x81, 0xff][..], &(1_u64 << 30).to_be_bytes(), &KEY].concat();
    decoder.decode(&mut header).unwrap();
    for _ in 0..10 {
        decoder.decode(&mut frame(0x81, &[b'x'; 1024])[8..]).unwrap();
    }
    let Some(PartialMessage::Text(text)) = decoder.partial.as_ref().and_then(|partial| partial.message.as_ref()) else {
        panic!("a text arrives")
    };
    assert_eq!(text.len(), 10 << 10);
    assert!(text.capacity() <= 20 << 10, "{}", text.capacity());
}

#[test]
fn short_fragments_are_appended_in_linear_time() {
    let mut decoder = MessageDecoder::new(1 << 20).with_max_frames(u32::MAX);
    decoder.decode(&mut frame(0x01, b"")).unwrap();
    let mut reallocations = 0;
    let mut stored = decoder.stored();
    for _ in 0..100_000 {
        decoder.decode(&mut frame(0x00, b"x")).unwrap();
        reallocations += usize::from(decoder.stored() != stored);
        stored = decoder.stored();
    }
    // Each copies the text.
    assert!(reallocations < 30, "{reallocations}");
}

#[test]
fn what_is_stored_is_what_is_allocated() {
    for first in [0x01, 0x02] {
        let mut decoder = MessageDecoder::new(1 << 20);
        decoder.decode(&mut frame(first, &[b'x'; 5000])).unwrap();
        decoder.decode(&mut frame(0x00, b"x")).unwrap();
        // The second fragment doubles the space.
        assert!((10_000..10_300).contains(&decoder.stored()), "{}", decoder.stored());
        // Without its last byte. The body of a control frame is stored beside the message.
        let before = decoder.stored();
        decoder.decode(&mut frame(0x89, &[7; 125])[..130]).unwrap();
        assert!((before + 124..before + 300).contains(&decoder.stored()), "{}", decoder.stored());
    }
}

#[test]
fn frames_of_a_server() {
    for (len, header) in [
        (0, vec![0x81, 0]),
        (125, vec![0x81, 125]),
        (126, vec![0x81, 126, 0, 126]),
        (65_535, vec![0x81, 126, 255, 255]),
        (65_536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let mut frame = Vec::new();
        begin_frame(&mut frame, Opcode::Text, len);
        assert_eq!(frame, header);
        assert_eq!(frame_len(len), header.len() + len);
    }
    let mut frame = Vec::new();
    close_frame(&mut frame, 1013, &"ü".repeat(100));
    assert_eq!((&frame[..4], frame.len()), (&[0x88, 124, 0x03, 0xf5][..], 126));
}

#[test]
fn a_message_has_a_limited_number_of_frames_however_short_they_are() {
    let (first, fragment, last) = (frame(0x01, b"a"), frame(0x00, b""), frame(0x80, b"b"));
    let decode_with = |max_frames, bytes: &[u8]| -> Result<String, Violation> {
        let mut decoder = MessageDecoder::new(1 << 20).with_max_frames(max_frames);
        let mut bytes = bytes.to_vec();
        let mut rest = &mut bytes[..];
        loop {
            match decoder.decode(rest)? {
                Decoded { message: Some(message), .. } => return Ok(describe(&message)),
                Decoded { consumed, frames, .. } => {
                    assert!(consumed > 0 && frames <= 64);
                    rest = &mut rest[consumed..];
                }
            }
        }
    };
    // The limit is of one message: control frames between its fragments do not count, nor do those of another message.
    let ping = frame(0x89, b"");
    let message = [&first[..], &fragment.repeat(98), &last].concat();
    assert_eq!(decode_with(100, &message).unwrap(), "text \"ab\"");
    assert_eq!(decode_with(99, &message).unwrap_err(), Violation::TooManyFrames { max: 99 });
    let endless = [&first[..], &fragment.repeat(MAX_FRAMES as usize)].concat();
    assert_eq!(decode_with(MAX_FRAMES, &endless).unwrap_err().close_code(), 1009);
    let mut decoder = MessageDecoder::new(1 << 20).with_max_frames(3);
    for _ in 0..10 {
        for part in [&first, &ping, &fragment, &ping, &last] {
            let mut part = part.clone();
            let decoded = decoder.decode(&mut part).unwrap();
            assert_eq!((decoded.consumed, decoded.frames), (part.len(), 1));
        }
        assert_eq!(decoder.stored(), 0);
    }
}

#[test]
fn decoding_returns_after_some_frames_so_that_their_time_can_be_counted() {
    let mut bytes = [frame(0x01, b""), frame(0x00, b"").repeat(99), frame(0x80, b"x")].concat();
    let mut decoder = MessageDecoder::new(1 << 20);
    let Decoded { consumed, message, frames } = decoder.decode(&mut bytes).unwrap();
    assert_eq!((consumed, message, frames), (64 * 6, None, 64));
    let Decoded { consumed, message, frames } = decoder.decode(&mut bytes[64 * 6..]).unwrap();
    assert_eq!((consumed, message, frames), (36 * 6 + 7, Some(Message::Text("x".into())), 37));
}
