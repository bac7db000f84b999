//! Closes a connection: sends the close frame, and keeps the socket open until it has arrived.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use aaw_protocol::resumption::CLOSE_SUPERSEDED;
use aaw_protocol::server::Close;
use aaw_protocol::websocket::{Decoded, FrameBuffer, Message, MessageDecoder};

use super::end::ConnectionEnd;
use super::frame_log;
use super::socket::{ClientSocket, Socket as _};
use crate::memory_budget::{ConnectionBudget, HeldBytes, STEP};

/// The bytes of one read of what is discarded.
const DISCARDED: usize = 16 << 10;

/// What a connection leaves behind when its task stops reading.
pub(super) struct Remains {
    pub(super) socket: ClientSocket,
    pub(super) decoder: MessageDecoder,
    /// What was read and not decoded.
    pub(super) unread: Vec<u8>,
    /// What was not written.
    pub(super) log: FrameBuffer,
    /// Counts them.
    pub(super) held: HeldBytes,
}

impl Remains {
    /// Of a connection that goes on without this socket.
    pub(super) fn of_socket(socket: ClientSocket, memory: &Arc<ConnectionBudget>, max_message_bytes: usize) -> Self {
        Self {
            socket,
            decoder: MessageDecoder::new(max_message_bytes),
            unread: Vec::new(),
            log: FrameBuffer::default(),
            held: HeldBytes::new(memory),
        }
    }
}

/// Closes the socket as its end requires, within `timeout`. What was not written is sent first where the client is
/// expected to read it.
pub(super) async fn close(remains: Remains, end: ConnectionEnd, timeout: Duration) {
    // An error, or the timeout, closes the socket without the rest of the closing handshake.
    let _ = tokio::time::timeout(timeout, close_gracefully(remains, end)).await;
}

async fn close_gracefully(remains: Remains, end: ConnectionEnd) -> io::Result<()> {
    let Remains { mut socket, mut decoder, mut unread, mut log, mut held } = remains;
    let mut frame = FrameBuffer::default();
    match &end {
        ConnectionEnd::Broken(_) | ConnectionEnd::HandedOver(..) => return Ok(()),
        ConnectionEnd::Superseded => frame.close(CLOSE_SUPERSEDED, "the connection continues on another socket"),
        ConnectionEnd::Disconnected => {}
        // The closing handshake ends with the same code.
        ConnectionEnd::ByClient(None) => frame.close_without_code(),
        ConnectionEnd::ByClient(Some(close)) => frame.close(close.code, ""),
        ConnectionEnd::ByServer(close) => {
            // These clients do not read: the close frame follows the frame whose beginning was written.
            if matches!(close, Close::Stalled | Close::TooSlow | Close::Silent) {
                log.remove_unbegun();
                // A frame of the largest size would stay for the whole time-out while other connections use what this one
                // was refused.
                if held.is_refused() && log.len() > STEP {
                    return Ok(());
                }
                held.set(log.memory() + unread.capacity() + decoder.stored());
            }
            frame.close(close.code(), &close.to_string());
        }
        ConnectionEnd::Violation(violation) => frame.close(violation.close_code(), &violation.to_string()),
    }
    frame_log::sent(&frame, 0);
    log.append(&mut frame);
    poll_fn(|cx| {
        while !log.is_empty() {
            std::task::ready!(socket.poll_write(cx, &mut log))?;
        }
        socket.poll_flush(cx)
    })
    .await?;
    match end {
        // Perhaps because of this message, which may never arrive whole. Its memory is freed now.
        ConnectionEnd::ByServer(Close::TooSlow) if decoder.stored() > 0 => {
            drop((decoder, unread, held));
            discard(&mut socket).await
        }
        ConnectionEnd::ByServer(_) | ConnectionEnd::Superseded => {
            // Until the client's close frame, or the end of its data.
            let mut input = vec![0; DISCARDED];
            loop {
                if has_closed(&mut decoder, &mut unread) {
                    return Ok(());
                }
                let len = poll_fn(|cx| socket.poll_read(cx, &mut input)).await?;
                if len == 0 {
                    return Ok(());
                }
                unread.clear();
                unread.extend_from_slice(&input[..len]);
            }
        }
        ConnectionEnd::Violation(_) => {
            // Nothing can be parsed behind a broken frame, so the rest is read and discarded. Closing while data still
            // arrives would reset the TCP connection, and the client would not receive the close frame.
            discard(&mut socket).await
        }
        _ => poll_fn(|cx| socket.poll_shutdown(cx)).await,
    }
}

/// Ends what is sent, and discards what arrives.
async fn discard(socket: &mut ClientSocket) -> io::Result<()> {
    poll_fn(|cx| socket.poll_shutdown(cx)).await?;
    let mut input = vec![0; DISCARDED];
    while poll_fn(|cx| socket.poll_read(cx, &mut input)).await? > 0 {}
    Ok(())
}

/// Returns whether these bytes contain a close frame, or cannot be decoded.
fn has_closed(decoder: &mut MessageDecoder, mut bytes: &mut [u8]) -> bool {
    loop {
        let len = bytes.len();
        match decoder.decode(bytes) {
            Ok(Decoded { message: Some(Message::Close(_)), .. }) | Err(_) => return true,
            Ok(Decoded { consumed, message: None, .. }) if consumed == len => return false,
            Ok(Decoded { consumed, .. }) => bytes = &mut bytes[consumed..],
        }
    }
}
