//! A call that runs as a task, within the memory that its connection may hold.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aaw_protocol::Code;
use aaw_protocol::server::Completion;

use crate::dispatch::PendingCall;
use crate::memory_budget::{Admission, CallBudget, out_of_memory_budget};

/// The rest of a call. Its handler is polled only while its connection's budget admits it, and what it holds is counted
/// after each poll.
pub(super) struct BudgetedCall {
    call: PendingCall,
    /// `None` once it has completed.
    budget: Option<CallBudget>,
}

impl BudgetedCall {
    pub(super) fn new(call: PendingCall, mut budget: CallBudget) -> Self {
        budget.set(call.held_bytes());
        Self { call, budget: Some(budget) }
    }
}

impl Future for BudgetedCall {
    /// The frame and the completion, and what counts the frame until it is in the output.
    type Output = (Vec<u8>, Completion, CallBudget);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { call, budget } = &mut *self;
        let Some(current) = budget else { return Poll::Pending };
        let (frame, completion) = match current.admit(call.grows(), cx) {
            // Its time goes on.
            Admission::Wait => ready!(call.poll_limit(cx)),
            Admission::Refuse => (Vec::new(), Completion::Failed(out_of_memory_budget(Code::TOO_LARGE))),
            Admission::Run => {
                let polled = Pin::new(&mut *call).poll(cx);
                if polled.is_pending() {
                    current.set_pending(call.held_bytes(), cx);
                }
                ready!(polled)
            }
        };
        current.set(frame.capacity());
        match budget.take() {
            Some(budget) => Poll::Ready((frame, completion, budget)),
            // Unreachable: it was there above.
            None => Poll::Pending,
        }
    }
}
