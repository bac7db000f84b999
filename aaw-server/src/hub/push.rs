//! The frames of pushes: events that the server sends without a call.

use aaw_protocol::websocket::SharedFrame;
use aaw_protocol::{Code, Failure, Shortened, codec, is_reserved};

/// Returns the frame of a push. `data` is JSON.
///
/// # Errors
/// `not_allowed` if the name is reserved for aaw itself, `too_large` if the frame has more than `max_message` bytes.
pub(super) fn push_frame(event: &str, data: &str, max_message: usize) -> Result<SharedFrame, Failure> {
    if is_reserved(event) {
        return Err(reserved_name(event));
    }
    let mut frame = Vec::with_capacity(event.len() + data.len() + 8);
    codec::begin(&mut frame, &codec::event_json(event));
    frame.extend_from_slice(data.as_bytes());
    codec::end(&mut frame);
    if frame.len() > max_message {
        let error = format!("The data of {} exceeds the message limit of {max_message} bytes", Shortened(event));
        return Err(Failure::new(Code::TOO_LARGE, error));
    }
    Ok(SharedFrame::text(&frame))
}

/// The failure of a handler that uses a name which is reserved for aaw itself.
pub(super) fn reserved_name(event: &str) -> Failure {
    Failure::new(Code::NOT_ALLOWED, format!("{} is a reserved event name", Shortened(event)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_that_is_too_large_or_has_a_reserved_name_is_refused() {
        assert_eq!(push_frame("e", "1", 100).unwrap().payload(), br#"["e",1]"#);
        let large = format!("{:?}", "x".repeat(200));
        assert_eq!(push_frame("e", &large, 100).unwrap_err().code, Code::TOO_LARGE);
        assert_eq!(push_frame("aaw/welcome", "1", 100).unwrap_err().code, Code::NOT_ALLOWED);
    }
}
