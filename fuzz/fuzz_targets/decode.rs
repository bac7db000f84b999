//! Any text decodes to a frame or an error, the shortcut past the JSON parser agrees with the parser, and errors quote
//! only a short part of the text.

#![no_main]

use aaw_protocol::codec::{self, Frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let strict = codec::decode_strictly(text);
    if let Err(bad) = &strict {
        assert!(bad.to_string().len() < 2000);
    }
    let Ok(frame) = codec::decode(text) else {
        assert!(strict.is_err(), "the parser accepts it");
        return;
    };
    if frame.checked || codec::is_json(frame.data) {
        assert_eq!(strict, Ok(Frame { checked: true, ..frame }));
        let _ = strict.map(|frame| (frame.v1_id(), frame.parse_meta()));
    } else {
        assert!(strict.is_err(), "the parser accepts a text that the shortcut split differently");
    }
});
