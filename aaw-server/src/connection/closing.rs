//! Closes a connection: sends the close frame, and keeps the socket open until it has arrived.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use aaw_protocol::server::Close;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::end::ConnectionEnd;
use super::frame_log;
use super::outgoing::{OutgoingFrame, text_message};

/// Closes the socket as its end requires, within `timeout`. Queued `frames` are sent first where the client is expected
/// to read them.
pub(super) async fn close<S>(
    socket: WebSocketStream<S>,
    end: ConnectionEnd,
    frames: VecDeque<OutgoingFrame>,
    timeout: Duration,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // An error, or the timeout, closes the socket without the rest of the closing handshake.
    let _ = tokio::time::timeout(timeout, close_gracefully(socket, end, frames)).await;
}

async fn close_gracefully<S>(
    mut socket: WebSocketStream<S>,
    end: ConnectionEnd,
    frames: VecDeque<OutgoingFrame>,
) -> Result<(), WsError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match end {
        // tungstenite has replied to the close frame; the reply may still be in its buffer.
        ConnectionEnd::ByClient(_) => socket.flush().await?,
        ConnectionEnd::ByServer(close) => {
            // In a graceful shutdown the client still gets its responses, and after a refusal by `_open` the reason.
            if matches!(close, Close::Stopping | Close::Refused(_)) {
                for frame in frames {
                    if let OutgoingFrame::Response(frame) | OutgoingFrame::Push(frame) = frame {
                        let message = text_message(frame);
                        frame_log::sent(&message);
                        socket.feed(message).await?;
                    }
                }
            }
            let frame = CloseFrame { code: close.code().into(), reason: close.to_string().into() };
            socket.send(Message::Close(Some(frame))).await?;
            // Until the client's close frame, or the end of its data.
            while let Some(Ok(_)) = socket.next().await {}
        }
        ConnectionEnd::Broken(error) => {
            let Some((code, reason)) = violation(&error) else { return Ok(()) };
            socket.send(Message::Close(Some(CloseFrame { code: code.into(), reason: reason.into() }))).await?;
            // Nothing can be parsed behind a broken frame, so the rest is read and discarded. Closing while data still
            // arrives would reset the TCP connection, and the client would not receive the close frame.
            let socket = socket.get_mut();
            socket.shutdown().await.map_err(WsError::Io)?;
            discard(socket).await.map_err(WsError::Io)?;
        }
    }
    Ok(())
}

/// Returns the close code and reason for a violation of RFC 6455; `None` if the client cannot receive it any more.
fn violation(error: &WsError) -> Option<(u16, &'static str)> {
    match error {
        WsError::Utf8(_) => Some((1007, "the text is not UTF-8")),
        WsError::Capacity(CapacityError::MessageTooLong { .. }) => Some((1009, "the message is larger than it may be")),
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing) => None,
        WsError::Protocol(_) => Some((1002, "the framing broke RFC 6455")),
        _ => None,
    }
}

async fn discard(socket: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    while socket.read(&mut buffer).await? > 0 {}
    Ok(())
}
