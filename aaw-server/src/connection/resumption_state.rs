//! What a connection stores that its client can resume.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aaw_protocol::resumption::ResumptionKey;
use aaw_protocol::websocket::{FrameBuffer, MessageDecoder};
use tokio::sync::oneshot;

use super::away_hooks::AwayHooks;
use super::end::ConnectionEnd;
use super::resume_hook::ResumeHooks;
use super::socket::ClientSocket;
use crate::address_limits::AddressMeter;
use crate::auth::SessionGuard;
use crate::hub::{Command, ConnectionPermit, Peer, ResumableGuard, ResumeRefusal, ResumeRequest, UncountedFrames};

/// What a resumable connection stores in addition to others.
pub(super) struct Resumption {
    pub(super) guard: ResumableGuard,
    /// The frames of this turn that are not counted.
    pub(super) uncounted: UncountedFrames,
    /// A granted request to continue on another socket. It is answered when the present socket is no longer read.
    pub(super) granted: Option<Box<ResumeRequest>>,
    /// The number of requests that were granted.
    pub(super) grants: u64,
    /// The socket to continue on.
    pub(super) next_socket: Option<Box<NewSocket>>,
    /// What is stored while the client is away. Boxed, since most clients never are.
    pub(super) away: Option<Box<Away>>,
    /// The number of the last request to resume that was granted.
    pub(super) last_attempt: u64,
    /// The session whose token the client knows, and from which message on.
    pub(super) known_session: Option<Box<(Arc<SessionGuard>, u64)>>,
    /// Too much is not acknowledged. Boxed, since this is rare.
    pub(super) unacknowledged: Option<Box<Unacknowledged>>,
}

/// What a connection stores while its client is away.
pub(super) struct Away {
    /// Until when it waits.
    pub(super) until: Instant,
    /// Why its socket has ended.
    pub(super) why: ConnectionEnd,
}

/// A socket that continues a connection, with what was read from it and not handled.
pub(super) struct NewSocket {
    pub(super) grant_number: u64,
    pub(super) socket: ClientSocket,
    pub(super) decoder: MessageDecoder,
    #[expect(clippy::box_collection, reason = "as in the connection that continues")]
    pub(super) unread: Option<Box<Vec<u8>>>,
    /// What was not written to it, such as the rest of a pong whose beginning was.
    pub(super) unsent: FrameBuffer,
    /// The permit of the connection that the socket belonged to until now.
    pub(super) permit: Option<ConnectionPermit>,
    /// That of the socket's address, which may not be that of the connection it continues.
    pub(super) meter: AddressMeter,
}

/// A socket whose client has asked to continue a connection.
pub(super) struct Resuming {
    pub(super) awaited: AwaitedGrant,
    /// The key of a new state, if that connection is over.
    pub(super) next: Option<ResumptionKey>,
}

/// The answer to a request to resume. If this socket ends before it has received a grant, `Drop` reports that, because the
/// connection waits for the socket.
pub(super) struct AwaitedGrant {
    pub(super) peer: Arc<Peer>,
    pub(super) reply: oneshot::Receiver<Result<u64, ResumeRefusal>>,
}

impl Drop for AwaitedGrant {
    fn drop(&mut self) {
        // A later answer finds that there is no receiver.
        self.reply.close();
        if let Ok(Ok(grant_number)) = self.reply.try_recv() {
            self.peer.mailbox.post(Command::GrantLost(grant_number));
        }
    }
}

/// The hooks of a resumable connection, from the first that runs. They outlive the state, because `_close` waits for them.
pub(super) struct ResumptionHooks {
    pub(super) away: AwayHooks,
    pub(super) resume: ResumeHooks,
}

impl ResumptionHooks {
    pub(super) fn new(now: Instant) -> Self {
        Self { away: AwayHooks::new(now), resume: ResumeHooks::default() }
    }

    /// Waits for the `_away` or `_back` hook that runs. When this returns, no part of a hook runs any more; if it is dropped,
    /// the hooks are, too.
    pub(super) async fn finish(self) {
        self.resume.finish().await;
        self.away.finish().await;
    }
}

/// Since when a client has not acknowledged what it must acknowledge at once.
pub(super) struct Unacknowledged {
    pub(super) since: Instant,
    /// The number of the last message then.
    pub(super) last: u64,
    pub(super) stage: UnacknowledgedStage,
}

/// A client may not have received the messages: the system's buffers take much. A pong follows what was received.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum UnacknowledgedStage {
    /// No ping was sent.
    Waits,
    /// A ping was sent. Without a pong, the network is silent.
    Pinged,
    /// The pong has come.
    Ponged,
}

impl UnacknowledgedStage {
    /// How long a client may take in this stage.
    pub(super) fn timeout(self) -> Duration {
        match self {
            Self::Waits | Self::Pinged => Duration::from_secs(10),
            // A client may leave what it need not acknowledge at once for 10 s.
            Self::Ponged => Duration::from_secs(15),
        }
    }
}
