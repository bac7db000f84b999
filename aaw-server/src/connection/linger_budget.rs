//! Limits the time that one-way sends use up after their connection has ended.
//!
//! Nobody waits for them then, and the limits of the connection are gone with it. The time of their polls is measured
//! from then on only, so that sends of an open connection do not pay for the clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::{Duration, Instant};

/// The time in polls that is left to the handlers of one connection, in nanoseconds.
#[derive(Debug)]
pub(super) struct LingerBudget(AtomicU64);

impl LingerBudget {
    /// `Duration::MAX` means no limit.
    pub(super) fn new(time: Duration) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))))
    }

    fn spend(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let left = |left: u64| Some(left.saturating_sub(nanos));
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left);
    }

    fn is_spent(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// Hands the budget to a send that has been running without one.
#[derive(Debug, Clone, Default)]
pub(super) struct LingerSwitch(Arc<OnceLock<Arc<LingerBudget>>>);

impl LingerSwitch {
    /// Measures and limits the send from its next poll on.
    pub(super) fn set(&self, budget: &Arc<LingerBudget>) {
        // Set once, when the connection ends.
        let _ = self.0.set(Arc::clone(budget));
    }

    /// Polls a send with `poll_send`. Once the budget is spent, returns `Ready` without polling; the caller then drops the send.
    pub(super) fn poll(&self, poll_send: impl FnOnce() -> Poll<()>) -> Poll<()> {
        let Some(budget) = self.0.get() else { return poll_send() };
        if budget.is_spent() {
            tracing::debug!(
                "a one-way send was dropped: its connection has closed and max_linger_poll_time is used up"
            );
            return Poll::Ready(());
        }
        let started = Instant::now();
        let polled = poll_send();
        budget.spend(started.elapsed());
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;

    use super::*;

    async fn run(switch: LingerSwitch, send: impl Future<Output = ()>) {
        let mut send = pin!(send);
        poll_fn(|cx| switch.poll(|| send.as_mut().poll(cx))).await;
    }

    /// A handler that is always about to continue, and never waits.
    async fn spin() {
        poll_fn(|cx| {
            cx.waker().wake_by_ref();
            std::hint::black_box((0..1000).sum::<u64>());
            Poll::<()>::Pending
        })
        .await;
    }

    #[tokio::test]
    async fn the_sends_of_a_closed_connection_share_its_budget() {
        let switches = [LingerSwitch::default(), LingerSwitch::default()];
        let sends = switches.clone().map(|switch| tokio::spawn(run(switch, spin())));
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert!(sends.iter().all(|send| !send.is_finished()), "no limit applies while the connection is open");
        let budget = LingerBudget::new(Duration::from_millis(5));
        switches.iter().for_each(|switch| switch.set(&budget));
        for send in sends {
            send.await.expect("it was dropped, not aborted");
        }
        assert!(budget.is_spent());
    }

    #[tokio::test]
    async fn a_send_that_waits_uses_no_budget() {
        let (release, released) = tokio::sync::oneshot::channel::<()>();
        let switch = LingerSwitch::default();
        switch.set(&LingerBudget::new(Duration::from_secs(3600)));
        let (done, is_done) = tokio::sync::oneshot::channel();
        let send = tokio::spawn(run(switch, async move {
            let _ = released.await;
            let _ = done.send(());
        }));
        tokio::task::yield_now().await;
        release.send(()).expect("the send waits");
        send.await.expect("it ends");
        is_done.await.expect("it has run to its end");
    }
}
