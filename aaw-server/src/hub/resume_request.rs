//! The request of a new socket to continue a connection, and why it may be refused.

use aaw_event::OpenInfo;
use aaw_protocol::websocket::NeverSent;
use tokio::sync::oneshot;

/// What a new socket tells the connection that it asks to continue.
#[derive(Debug)]
pub(crate) struct ResumeRequest {
    /// The number of messages that the client has received.
    pub(crate) received: u64,
    /// The number of the request, if the client counts them.
    pub(crate) attempt: Option<u64>,
    /// The token of the connection's session.
    pub(crate) token: Option<Box<str>>,
    /// What the `_resume` hook receives, if there was one when the request was made.
    pub(crate) info: Option<Box<OpenInfo>>,
    /// The number of its `_resume` hook, which has passed.
    pub(crate) hook_number: Option<u64>,
    /// Answers the request, with the number of the grant. Dropped if the connection is over.
    pub(crate) reply: oneshot::Sender<Result<u64, ResumeRefusal>>,
}

/// Why a connection is not continued on a new socket, although it exists. Its state stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResumeRefusal {
    #[error("received: {0}")]
    NeverSent(NeverSent),
    // Without the number: a client that does not know the token must not learn which one requires it.
    #[error("received: message {received} is less than the last acknowledged one")]
    Forgotten { received: u64 },
    #[error("attempt: {attempt} is not larger than {last}, which came before")]
    Late { attempt: u64, last: u64 },
    #[error("the token of the connection's session is missing or another one")]
    Token,
    #[error("another socket continues the connection")]
    Superseded,
    /// The text is that of the `_resume` hook.
    #[error("{0}")]
    Hook(Box<str>),
}
