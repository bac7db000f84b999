//! Runs `_resume`: a connection goes on over another socket only if it has passed.

use std::sync::Arc;
use std::time::Duration;

use aaw_protocol::{Code, Failure};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::dispatch::Dispatch;
use crate::hub::{Command, EventCaller, Peer, ResumeRefusal, ResumeRequest};

/// The `_resume` hooks that run for one connection: for each socket that asks to continue it, those of all modules. A socket
/// asks once at a time, so there are no more of them than sockets.
#[derive(Default)]
pub(super) struct ResumeHooks {
    tasks: JoinSet<()>,
    /// The number of requests that have come.
    requests: u64,
    /// The last of these that was granted.
    granted: u64,
}

impl ResumeHooks {
    /// Spawns the hooks for a request. If they pass, it is posted to the connection again, as one that has passed; otherwise,
    /// and after `timeout`, it is refused. They are dropped when the new socket is given up.
    pub(super) fn spawn(
        &mut self,
        mut request: Box<ResumeRequest>,
        dispatch: Arc<Dispatch>,
        caller: Arc<EventCaller>,
        peer: Arc<Peer>,
        timeout: Duration,
    ) {
        // Forgets the tasks that have ended.
        while self.tasks.try_join_next().is_some() {}
        self.requests += 1;
        let number = self.requests;
        let deciding = async move {
            let Some(info) = request.info.take() else {
                // The hook was loaded after the handshake of this socket, about which it knows nothing. The client may ask
                // again with another one.
                let _ = request.reply.send(Err(ResumeRefusal::Hook("the events were replaced meanwhile".into())));
                return;
            };
            let decided = tokio::select! {
                decided = tokio::time::timeout(timeout, dispatch.run_resume_hooks(&caller, &info)) => decided,
                () = request.reply.closed() => return,
            };
            let decided = decided.unwrap_or_else(|_| {
                Err(Failure::new(Code::TIMEOUT, "The server took too long to decide whether the connection goes on"))
            });
            match decided {
                Ok(()) => {
                    request.hook_number = Some(number);
                    peer.mailbox.post(Command::Resume(request));
                }
                Err(failure) => {
                    if let Some(suppressed) = dispatch.throttles.resume_refusals.pass() {
                        tracing::info!(connection = %peer.id(), suppressed, "_resume refused a socket: {failure}");
                    }
                    // The socket may have gone meanwhile.
                    let _ = request.reply.send(Err(ResumeRefusal::Hook(failure.error.into())));
                }
            }
        };
        self.tasks.spawn(deciding.in_current_span());
    }

    /// Returns whether a request that came later than this one was granted: the client has given this socket up since.
    pub(super) fn is_superseded(&self, number: u64) -> bool {
        number < self.granted
    }

    pub(super) fn note_granted(&mut self, number: u64) {
        self.granted = number;
    }

    /// Aborts the hooks: the connection is over. The clients that wait begin new ones.
    pub(super) fn abort(&mut self) {
        self.tasks.abort_all();
    }

    /// Aborts the hooks. When this returns, no part of them runs any more.
    pub(super) async fn finish(mut self) {
        self.tasks.shutdown().await;
    }
}
