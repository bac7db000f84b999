//! A call that runs as a task, within the memory that its connection may hold.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use aaw_protocol::Code;
use aaw_protocol::server::{CallKey, Completion};

use super::linger_budget::LingerSwitch;
use crate::dispatch::{FRAME_END, PendingCall};
use crate::hub::{Command, EventCaller};
use crate::memory_budget::{Admission, CallBudget, out_of_memory_budget};

/// The rest of a call, whose result is posted to its connection. Its handler is polled only while its connection's budget
/// admits it, and while its connection is not held up as a sender. What it holds is counted after each poll.
///
/// Not an `async` block, which would contain the call twice: as it was captured, and as it is awaited.
pub(super) struct CallFuture {
    key: CallKey,
    /// `None` once it has completed.
    running: Option<(PendingCall, CallBudget)>,
    /// The connection, which may be held up as a sender.
    caller: Arc<EventCaller>,
    /// Limits the time of a one-way send once its connection has ended.
    linger: Option<LingerSwitch>,
}

impl CallFuture {
    pub(super) fn new(
        key: CallKey,
        call: PendingCall,
        mut budget: CallBudget,
        caller: Arc<EventCaller>,
        linger: Option<LingerSwitch>,
    ) -> Self {
        budget.set(call.held_bytes());
        Self { key, running: Some((call, budget)), caller, linger }
    }

    fn poll_call(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((call, budget)) = &mut self.running else { return Poll::Ready(()) };
        let admission = match self.caller.poll_held(cx) {
            Poll::Ready(()) => budget.admit(call.grows(), cx),
            // It waits for those that read what it has pushed.
            Poll::Pending => Admission::Wait,
        };
        let (mut frame, completion) = match admission {
            // Its time goes on.
            Admission::Wait => ready!(call.poll_limit(cx)),
            Admission::Refuse => (Vec::new(), Completion::Failed(out_of_memory_budget(Code::TOO_LARGE))),
            Admission::Run => {
                let polled = Pin::new(&mut *call).poll(cx);
                if polled.is_pending() {
                    budget.set_pending(call.held_bytes(), cx);
                }
                ready!(polled)
            }
        };
        // A frame that has grown may have twice the memory that it needs, and wait for its client for long.
        if frame.capacity() - frame.len() > FRAME_END + frame.len() / 4 {
            frame.shrink_to(frame.len() + FRAME_END);
        }
        budget.set(frame.capacity());
        if let Some((call, budget)) = self.running.take() {
            // Dropped first: the connection starts another call when it learns that this one is complete.
            drop(call);
            // The budget counts the frame until it is in the output.
            if let Ok(peer) = self.caller.peer() {
                peer.mailbox.post(Command::Complete(self.key, frame, completion, budget));
            }
        }
        Poll::Ready(())
    }
}

impl Future for CallFuture {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        match this.linger.clone() {
            None => this.poll_call(cx),
            Some(linger) => linger.poll(|| this.poll_call(cx)),
        }
    }
}
