//! What a [`ServerConnection`](super::ServerConnection) returns to the owner of its socket.

use std::borrow::Cow;

use bytes::Bytes;

use super::call::Call;
use super::close::Close;
use super::keys::CallKey;
use super::keys::ClientCallKey;
use crate::codec::BadFrame;
use crate::failure::Failure;
use crate::resumption::ResumptionRequest;

/// The meaning of a text message.
#[derive(Debug)]
pub enum Input<'a> {
    /// A call to run now.
    Call(Call<'a>),
    /// The next item of a call's upload, for its handler.
    UploadItem {
        /// The pending call. It is neither complete nor dropped.
        key: CallKey,
        /// The item, one JSON value.
        data: &'a str,
    },
    /// The end of a call's upload. Returned at most once for each call.
    UploadEnd {
        /// The call, as in [`UploadItem`](Self::UploadItem).
        key: CallKey,
    },
    /// A hello that asks for resumption. Nothing happens until one of these is called:
    /// [`begin`](super::ServerConnection::begin), [`refuse_hello`](super::ServerConnection::refuse_hello), or, when another
    /// `ServerConnection` continues on this socket, [`resume`](super::ServerConnection::resume) of that one.
    Hello(Box<ResumptionRequest>),
    /// The client has received all messages up to this one. If there is no such message, call
    /// [`reject_acknowledgement`](super::ServerConnection::reject_acknowledgement).
    Acknowledged(u64),
    /// The message is handled. Its response, if it has one, is in the output.
    Handled,
    /// A call or one-way send was refused. The client is already notified; this is for the log.
    Refused {
        /// The name of the event.
        event: Cow<'a, str>,
        /// The body, as JSON.
        body: &'a str,
        /// The failure that the client receives.
        failure: Failure,
    },
    /// A message that is not a frame, or not allowed in the current state. A v1 client is already notified; this is for
    /// the log.
    BadFrame(BadFrame),
}

/// An instruction to the owner of the socket. `T` is the value that the owner stores for each open call.
#[derive(Debug, PartialEq, Eq)]
pub enum Output<T = ()> {
    /// Send this as a text message.
    Send(Bytes),
    /// Send this text message, which is not counted, before those that are.
    SendUncounted(Bytes),
    /// Send this text message. If the connection is [resumable](super::ServerConnection::is_resumable), all that is sent later
    /// is counted, from 1, apart from [`SendUncounted`](Self::SendUncounted) and control frames.
    Welcome(Bytes),
    /// The caller of a stream granted more credit: the stream may continue.
    Credit {
        /// The pending call. It is neither complete nor dropped.
        key: CallKey,
        /// The new result of [`credit`](super::ServerConnection::credit), in items from the start of the stream. Larger
        /// than before.
        items: u64,
    },
    /// A [client call](super::ServerConnection::client_call) is over.
    ClientCallDone {
        /// The client call.
        key: ClientCallKey,
        /// The client's response, one JSON value; or the client's failure; or a failure with the code
        /// [`TIMEOUT`](crate::Code::TIMEOUT) if there was no response before the deadline.
        result: Result<Box<str>, Failure>,
    },
    /// Run the hook that decides about the connection, then call
    /// [`handle_open_hook_passed`](super::ServerConnection::handle_open_hook_passed) or
    /// [`handle_open_hook_refused`](super::ServerConnection::handle_open_hook_refused). Returned at most once, and only
    /// after [`wait_for_open_hook`](super::ServerConnection::wait_for_open_hook).
    RunOpenHook,
    /// Send a WebSocket ping.
    Ping,
    /// Drop the handler of a call. Its result is no longer needed.
    Drop {
        /// The call.
        key: CallKey,
        /// What runs the handler, if it was [stored](super::ServerConnection::set_task).
        task: Option<T>,
    },
    /// Close the connection.
    Close(Close),
}
