//! What clients are asked: from whoever asks to the connection's task, and the answer back.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use aaw_protocol::server::ClientCallKey;
use aaw_protocol::{Code, Failure, clock};
use tokio::sync::oneshot;

use crate::hub::mailbox::Mail;
use crate::hub::table::Peer;

/// Why a client's answer is not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientCallError {
    /// The data cannot be JSON. Nobody was asked.
    #[error("the data cannot be JSON: {0}")]
    NoJson(#[source] serde_json::Error),
    /// The client failed, or was not asked, or has not answered: the code says which.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The client's answer is something else than was expected.
    #[error("the answer is not what was expected: {0}")]
    BadAnswer(#[source] serde_json::Error),
}

/// A question, on its way to the connection's task.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) key: ClientCallKey,
    pub(crate) event: Arc<str>,
    /// One JSON value.
    pub(crate) data: Arc<str>,
    pub(crate) deadline: Option<Instant>,
    /// Dropped, it says that the connection has ended.
    pub(crate) answer: oneshot::Sender<Result<Box<str>, Failure>>,
}

impl Question {
    /// Bytes that it takes while it waits, besides its place.
    pub(crate) fn len(&self) -> usize {
        size_of::<Self>() + self.event.len() + self.data.len()
    }
}

impl Peer {
    /// Asks the client: calls its handler of `event` with `data`, one JSON value, and waits for the answer, at most
    /// `timeout` long (`Duration::MAX`: as long as it takes). The question is on its way when this returns, behind
    /// everything that was sent to the client before; those who ask several clients the same can share the texts.
    ///
    /// Dropping the future cancels: the client is told, and drops its handler.
    ///
    /// # Errors
    /// The client's own failure, in its words. `timeout`; `no_connection`, also when the connection ends meanwhile;
    /// `unreachable`: a classic client; `busy`: too many open questions, or it does not read; `too_large`.
    pub(crate) fn ask(
        self: &Arc<Self>,
        event: impl Into<Arc<str>>,
        data: impl Into<Arc<str>>,
        timeout: Duration,
    ) -> Asking {
        /// One count for all: a key need only be no other's of its connection.
        static KEYS: AtomicU64 = AtomicU64::new(0);
        let key = ClientCallKey(KEYS.fetch_add(1, Ordering::Relaxed));
        // tokio's clock, which tests can stop.
        let now = tokio::time::Instant::now().into_std();
        let deadline = (timeout != Duration::MAX).then(|| clock::after(now, timeout));
        let (answer, answered) = oneshot::channel();
        let question = Question { key, event: event.into(), data: data.into(), deadline, answer };
        let refused = self.outbox.ask(Box::new(question)).err();
        Asking { peer: Arc::clone(self), key, answered, refused, over: false }
    }
}

/// What [`Peer::ask`] gives.
#[derive(Debug)]
#[must_use = "dropping it cancels the question"]
pub(crate) struct Asking {
    peer: Arc<Peer>,
    key: ClientCallKey,
    answered: oneshot::Receiver<Result<Box<str>, Failure>>,
    /// Why it never got on its way.
    refused: Option<Failure>,
    over: bool,
}

impl Future for Asking {
    type Output = Result<Box<str>, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(failure) = self.refused.take() {
            self.over = true;
            return Poll::Ready(Err(failure));
        }
        let answer = ready!(Pin::new(&mut self.answered).poll(cx));
        self.over = true;
        Poll::Ready(answer.unwrap_or_else(|_| Err(ended())))
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if !self.over && self.refused.is_none() {
            // First this: a question that the connection's task has not taken up yet will not be asked at all.
            self.answered.close();
            self.peer.outbox.post(Mail::CancelAsk(self.key));
        }
    }
}

pub(crate) fn ended() -> Failure {
    Failure::new(Code::NO_CONNECTION, "The connection has ended")
}

pub(crate) fn not_in_time() -> Failure {
    Failure::new(Code::TIMEOUT, "The client did not answer in time")
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use futures_util::FutureExt as _;

    use super::*;
    use crate::hub::mailbox::Outbox;
    use crate::hub::table::{Hub, Seat};

    fn enter(most: usize) -> Seat {
        let hub = Arc::new(Hub::default());
        hub.enter(hub.admit(10).unwrap(), None, None, Outbox::new(most), 1000)
    }

    fn mail(seat: &Seat) -> VecDeque<Mail> {
        let mut mail = VecDeque::new();
        seat.peer.outbox.take(&mut mail);
        mail
    }

    #[test]
    fn a_question_is_on_its_way_at_once_and_taken_back_when_nobody_waits() {
        let seat = enter(10_000);
        let asking = seat.peer.ask("confirm", "1", Duration::MAX);
        let first = mail(&seat).pop_front();
        let Some(Mail::Ask(question)) = first else { panic!("{first:?}") };
        assert_eq!((&*question.event, &*question.data, question.deadline), ("confirm", "1", None));
        drop(asking);
        assert!(question.answer.is_closed());
        assert!(matches!(mail(&seat).pop_front(), Some(Mail::CancelAsk(key)) if key == question.key));
    }

    #[test]
    fn an_answered_question_is_not_taken_back() {
        let seat = enter(10_000);
        let mut asking = seat.peer.ask("confirm", "1", Duration::from_secs(1));
        let Some(Mail::Ask(question)) = mail(&seat).pop_front() else { panic!("it was asked") };
        question.answer.send(Ok("true".into())).unwrap();
        assert_eq!((&mut asking).now_or_never(), Some(Ok("true".into())));
        drop(asking);
        assert!(mail(&seat).is_empty());
    }

    #[test]
    fn the_end_of_the_connection_is_the_end_of_its_questions() {
        let seat = enter(10_000);
        let peer = Arc::clone(&seat.peer);
        let before = peer.ask("confirm", "1", Duration::MAX);
        drop(seat);
        let after = peer.ask("confirm", "1", Duration::MAX);
        for asking in [before, after] {
            let failure = asking.now_or_never().expect("it is over").unwrap_err();
            assert_eq!(failure.code, Code::NO_CONNECTION);
        }
    }

    #[test]
    fn questions_that_nobody_takes_are_bounded_in_bytes_and_close_nothing() {
        let seat = enter(10_000);
        let text: Arc<str> = "x".repeat(3000).into();
        let asked: Vec<_> = (0..5).map(|_| seat.peer.ask("confirm", Arc::clone(&text), Duration::MAX)).collect();
        let refused = asked.into_iter().filter_map(|asking| asking.now_or_never());
        let codes: Vec<_> = refused.map(|outcome| outcome.unwrap_err().code).collect();
        assert_eq!(codes, [Code::BUSY, Code::BUSY]);
        assert!(seat.peer.outbox.push("news".into()).is_ok(), "a push still fits, and the connection lives");
    }
}
