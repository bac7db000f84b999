//! Any text is a frame or an error; the shortcut past the parser never says anything else than the parser; and what an
//! error repeats of the text is short.

#![no_main]

use aaw_protocol::codec::{self, Frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let strict = codec::decode_strictly(text);
    if let Err(bad) = &strict {
        assert!(bad.to_string().len() < 2000);
    }
    let Ok(frame) = codec::decode(text) else {
        assert!(strict.is_err(), "the parser takes it");
        return;
    };
    if frame.checked || codec::is_json(frame.data) {
        assert_eq!(strict, Ok(Frame { checked: true, ..frame }));
        let _ = strict.map(|frame| (frame.v1_id(), frame.parse_meta()));
    } else {
        assert!(strict.is_err(), "the parser takes what the shortcut took for another frame");
    }
});
