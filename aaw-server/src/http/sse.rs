//! Server-sent events (HTML standard, 9.2.6): blocks of lines, each ended by an empty line.

use aaw_protocol::Failure;

use super::error;

/// A comment, sent while there are no items: it keeps proxies from closing the connection, and detects a reader that
/// has disconnected.
pub(super) const COMMENT: &[u8] = b": \n\n";

/// The id of the last block. An `EventSource` that reconnects with it has received the whole stream.
pub(super) const END: &str = "end";

/// Writes what precedes the JSON of item `number`.
pub(super) fn begin_item(out: &mut Vec<u8>, number: u64) {
    begin(out, None, &number.to_string());
}

/// Writes what follows the JSON that begins at `from`.
pub(super) fn end_item(out: &mut Vec<u8>, from: usize) {
    join_lines(&mut out[from..]);
    out.extend_from_slice(b"\n\n");
}

/// Writes the end of the stream.
pub(super) fn end(out: &mut Vec<u8>) {
    begin(out, Some("end"), END);
    out.extend_from_slice(b"null\n\n");
}

/// Writes the failure that ended the stream.
pub(super) fn failed(out: &mut Vec<u8>, failure: &Failure) {
    begin(out, Some("failed"), END);
    let from = out.len();
    out.extend_from_slice(&error::json(failure));
    end_item(out, from);
}

/// Puts JSON on one line. Within JSON, a line break can only be white space between tokens; a handler may produce one
/// by passing on JSON from elsewhere.
pub(super) fn join_lines(json: &mut [u8]) {
    for byte in json {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

fn begin(out: &mut Vec<u8>, event: Option<&str>, id: &str) {
    if let Some(event) = event {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(event.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"id: ");
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(b"\ndata: ");
}

#[cfg(test)]
mod tests {
    use aaw_protocol::Code;

    use super::*;

    #[test]
    fn items_an_end_and_a_failure_are_written_as_blocks() {
        let mut out = Vec::new();
        for (number, json) in [(1, &br#"{"a":1}"#[..]), (2, b"[1,\r\n2]")] {
            begin_item(&mut out, number);
            let from = out.len();
            out.extend_from_slice(json);
            end_item(&mut out, from);
        }
        end(&mut out);
        failed(&mut out, &Failure::new(Code::HANDLER, "no"));
        let expected = "id: 1\ndata: {\"a\":1}\n\nid: 2\ndata: [1,  2]\n\nevent: end\nid: end\ndata: null\n\n\
                        event: failed\nid: end\ndata: {\"error\":\"no\",\"code\":\"handler\"}\n\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
