//! Waits for the head of a connection's first request.
//!
//! hyper has buffers of 24 KiB for a connection from its first byte on. A client that sends its head slowly, or not at all,
//! would make the server hold them for as long as a handshake may take.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::http_token::is_token_byte;

/// The bytes that are read ahead at most: hyper's first read takes as many. It reads the rest of a longer head itself.
const MAX_READ_AHEAD: usize = 8 << 10;

/// Reads until the head of a request is complete, or until hyper is to decide about what has arrived. Returns what was read.
pub(super) async fn read_head(socket: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    loop {
        let read = poll_fn(|cx| {
            let mut buffer = [MaybeUninit::uninit(); MAX_READ_AHEAD];
            let mut buffer = ReadBuf::uninit(&mut buffer[head.len()..]);
            ready!(Pin::new(&mut *socket).poll_read(cx, &mut buffer))?;
            head.extend_from_slice(buffer.filled());
            Poll::Ready(Ok::<_, io::Error>(buffer.filled().len()))
        })
        .await?;
        if read == 0 || head.len() == MAX_READ_AHEAD || !may_continue(&head, head.len() - read) {
            return Ok(head);
        }
    }
}

/// Returns whether these bytes are the beginning of a head. Those before `looked_at` were looked at before.
fn may_continue(head: &[u8], looked_at: usize) -> bool {
    // Empty lines may precede it (RFC 9112, 2.2).
    let Some(start) = head.iter().position(|byte| !matches!(byte, b'\r' | b'\n')) else { return true };
    // hyper knows what begins no request.
    if !is_token_byte(&head[start]) {
        return false;
    }
    let new = &head[looked_at.saturating_sub(2).max(start)..];
    if new.windows(2).any(|pair| pair == b"\n\n") || new.windows(3).any(|end| end == b"\n\r\n") {
        return false;
    }
    // hyper also decides about a first line without a version of HTTP. It is looked at when it is complete.
    let unseen = looked_at.max(start);
    let line_was_seen = head[start..unseen].contains(&b'\n');
    let end = head[unseen..].iter().position(|byte| *byte == b'\n').filter(|_| !line_was_seen);
    let Some(end) = end else { return true };
    let line = head[start..unseen + end].trim_ascii_end();
    line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0")
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[test]
    fn a_head_ends_with_an_empty_line_or_where_it_is_none() {
        let is_over = |head: &[u8]| !may_continue(head, 0);
        for head in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: a\r\n\r\nbody",
            "GET / HTTP/1.1\n\n",
            "\r\nget / HTTP/1.1\r\n\r\n",
        ] {
            assert!(is_over(head.as_bytes()), "{head}");
            let whole = head.as_bytes();
            assert!((1..=whole.len()).any(|len| !may_continue(&whole[..len], len - 1)), "{head}, byte by byte");
        }
        for head in ["GET /\r\n", "GET / HTTP/3.0\r\n", "PRI * HTTP/2.0\r\n", "\x16\x03\x01", "é", "\r\n{"] {
            assert!(is_over(head.as_bytes()), "{head:?}");
        }
        for head in
            ["\r\n", "\n\n", "g", "get", "\r\nG", "G", "GET /", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r"]
        {
            assert!(!is_over(head.as_bytes()), "{head}");
        }
    }

    #[tokio::test]
    async fn a_head_is_read_in_pieces_up_to_a_limit() {
        let (mut client, mut server) = tokio::io::duplex(5);
        let sent = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let (written, read) = tokio::join!(client.write_all(sent), read_head(&mut server));
        written.unwrap();
        assert_eq!(read.unwrap(), sent);
        let (mut client, mut server) = tokio::io::duplex(64 << 10);
        client.write_all(&[b'A'; 20_000]).await.unwrap();
        assert_eq!(read_head(&mut server).await.unwrap().len(), MAX_READ_AHEAD);
        drop(client);
        assert_eq!(read_head(&mut server).await.unwrap().len(), MAX_READ_AHEAD);
        // The rest, and then the end.
        assert_eq!(read_head(&mut server).await.unwrap().len(), 20_000 - 2 * MAX_READ_AHEAD);
        assert!(read_head(&mut server).await.unwrap().is_empty());
    }
}
