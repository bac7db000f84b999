//! Server-sent events, as the HTML standard has them (9.2.6): blocks of lines that end with an empty one.

use aaw_protocol::Failure;

use super::failed;

/// What is sent when there is nothing to send, so that proxies see life, and we see who has gone.
pub(super) const COMMENT: &[u8] = b": \n\n";

/// The id of the last block. Who comes back with it has heard all.
pub(super) const END: &str = "end";

/// What stands before the JSON of an item, the `number`-th.
pub(super) fn begin_item(out: &mut Vec<u8>, number: u64) {
    begin(out, None, &number.to_string());
}

/// What stands behind JSON that begins at `from`.
pub(super) fn end_item(out: &mut Vec<u8>, from: usize) {
    join_lines(&mut out[from..]);
    out.extend_from_slice(b"\n\n");
}

/// No more items.
pub(super) fn end(out: &mut Vec<u8>) {
    begin(out, Some("end"), END);
    out.extend_from_slice(b"null\n\n");
}

/// No more items, since the call failed.
pub(super) fn failed(out: &mut Vec<u8>, failure: &Failure) {
    begin(out, Some("failed"), END);
    let from = out.len();
    out.extend_from_slice(&failed::json(failure));
    end_item(out, from);
}

/// Puts JSON on one line: a line break within it is a space between two of its signs. A handler that passes on JSON of
/// others may have such.
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
    fn the_blocks_that_were_promised() {
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
