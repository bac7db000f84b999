//! The end of a connection: the close frame, and the silence that lets it arrive.

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

use super::{Ending, Outgoing, text};

/// Says goodbye as the ending demands, and lets go of the socket. What was on its way out goes first where the peer is
/// thought to read. Takes no longer than `timeout`.
pub(super) async fn close<S>(socket: WebSocketStream<S>, ending: Ending, frames: VecDeque<Outgoing>, timeout: Duration)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // Whatever does not end in time ends with the socket.
    let _ = tokio::time::timeout(timeout, say_goodbye(socket, ending, frames)).await;
}

async fn say_goodbye<S>(
    mut socket: WebSocketStream<S>,
    ending: Ending,
    frames: VecDeque<Outgoing>,
) -> Result<(), WsError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match ending {
        // tungstenite has answered the close frame; the answer may wait in its buffer.
        Ending::ByPeer(_) => socket.flush().await?,
        Ending::ByUs(close) => {
            // Who stops, or is not let in, is told before why.
            if matches!(close, Close::Stopping | Close::Refused(_)) {
                for frame in frames {
                    if let Outgoing::Answer(frame) | Outgoing::Push(frame) = frame {
                        socket.feed(text(frame)).await?;
                    }
                }
            }
            let frame = CloseFrame { code: close.code().into(), reason: close.to_string().into() };
            socket.send(Message::Close(Some(frame))).await?;
            // Until the peer's close frame, or the end of what it sends.
            while let Some(Ok(_)) = socket.next().await {}
        }
        Ending::Broken(error) => {
            let Some((code, reason)) = broken_rule(&error) else { return Ok(()) };
            socket.send(Message::Close(Some(CloseFrame { code: code.into(), reason: reason.into() }))).await?;
            // What follows a broken frame is no frame, so it is thrown away unread. Closing while it still comes in
            // would reset the connection, and the peer would never see why it was closed.
            let socket = socket.get_mut();
            socket.shutdown().await.map_err(WsError::Io)?;
            discard(socket).await.map_err(WsError::Io)?;
        }
    }
    Ok(())
}

/// The close code for a rule of RFC 6455 that was broken; `None` if there is nobody left to tell.
fn broken_rule(error: &WsError) -> Option<(u16, &'static str)> {
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
