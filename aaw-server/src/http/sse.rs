//! Server-sent events (HTML standard, 9.2.6): blocks of lines, each ended by an empty line.

use aaw_protocol::Failure;

use super::error;

/// A comment, sent while there are no items: it keeps proxies from closing the connection, and detects a reader that
/// has disconnected.
pub(super) const COMMENT: &[u8] = b": \n\n";

/// The id of the last block. An `EventSource` that reconnects with it has received the whole stream.
pub(super) const END: &str = "end";

/// Writes what precedes the JSON of an item. Items have no id: an `EventSource` that reconnects would send it as the place to
/// continue from, and the stream begins anew.
pub(super) fn begin_item(out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
}

/// Writes what follows the JSON that begins at `from`.
pub(super) fn end_item(out: &mut Vec<u8>, from: usize) {
    join_lines(&mut out[from..]);
    out.extend_from_slice(b"\n\n");
}

/// Writes the end of the stream.
pub(super) fn end(out: &mut Vec<u8>) {
    begin_last(out, "end");
    out.extend_from_slice(b"null\n\n");
}

/// Writes the failure that ended the stream.
pub(super) fn failed(out: &mut Vec<u8>, failure: &Failure) {
    begin_last(out, "failed");
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

/// Writes what precedes the data of the last block.
fn begin_last(out: &mut Vec<u8>, event: &str) {
    for part in ["event: ", event, "\nid: ", END, "\ndata: "] {
        out.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use aaw_protocol::Code;

    use super::*;

    #[test]
    fn items_an_end_and_a_failure_are_written_as_blocks() {
        let mut out = Vec::new();
        for json in [&br#"{"a":1}"#[..], b"[1,\r\n2]"] {
            begin_item(&mut out);
            let from = out.len();
            out.extend_from_slice(json);
            end_item(&mut out, from);
        }
        end(&mut out);
        failed(&mut out, &Failure::new(Code::HANDLER, "no"));
        let expected = "data: {\"a\":1}\n\ndata: [1,  2]\n\nevent: end\nid: end\ndata: null\n\n\
                        event: failed\nid: end\ndata: {\"error\":\"no\",\"code\":\"handler\"}\n\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
