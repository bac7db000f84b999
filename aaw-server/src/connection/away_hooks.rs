//! Runs `_away` and `_back`: in order, one at a time, however often the socket of a connection breaks.
//!
//! There is no queue. When a hook has ended, the other one runs if the state of the connection has changed: a change that was
//! reverted in the meantime is skipped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aaw_event::{AwayInfo, BackInfo};
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use crate::dispatch::Dispatch;
use crate::hub::{Command, EventCaller, Peer};

/// The `_away` and `_back` hooks of a connection.
pub(super) struct AwayHooks {
    state: AwayState,
    /// The hook that runs, of all modules.
    task: Option<JoinHandle<()>>,
}

/// Whether the connection is away, and which hook ran last.
#[derive(Debug)]
struct AwayState {
    /// Why there is no socket.
    away: Option<AwayInfo>,
    /// `_away` ran last, or runs. Otherwise `_back`, or none.
    last_ran_away: bool,
    /// When the absence began that `_away` was called for, or will be.
    since: Instant,
    /// When it ended.
    until: Instant,
}

#[derive(Debug, PartialEq, Eq)]
enum HookCall {
    Away(AwayInfo),
    Back(BackInfo),
}

impl AwayState {
    fn new(now: Instant) -> Self {
        Self { away: None, last_ran_away: false, since: now, until: now }
    }

    fn go_away(&mut self, info: AwayInfo, now: Instant) {
        // Otherwise it is the same absence for the hooks.
        if !self.last_ran_away {
            self.since = now;
        }
        self.away = Some(info);
    }

    fn come_back(&mut self, now: Instant) {
        if self.away.take().is_some() {
            self.until = now;
        }
    }

    /// Returns the hook to run next, if the state has changed since the last one.
    fn next_call(&mut self) -> Option<HookCall> {
        let call = match (&self.away, self.last_ran_away) {
            (Some(info), false) => HookCall::Away(info.clone()),
            (None, true) => HookCall::Back(BackInfo::new(self.until.saturating_duration_since(self.since))),
            _ => return None,
        };
        self.last_ran_away = !self.last_ran_away;
        Some(call)
    }
}

impl AwayHooks {
    pub(super) fn new(now: Instant) -> Self {
        Self { state: AwayState::new(now), task: None }
    }

    /// The connection has no socket, and may be resumed. [`run_next`](Self::run_next) follows.
    pub(super) fn go_away(&mut self, info: AwayInfo, now: Instant) {
        self.state.go_away(info, now);
    }

    /// The connection has a socket again. [`run_next`](Self::run_next) follows.
    pub(super) fn come_back(&mut self, now: Instant) {
        self.state.come_back(now);
    }

    /// The hook that ran has ended. [`run_next`](Self::run_next) follows.
    pub(super) fn handle_done(&mut self) {
        self.task = None;
    }

    /// Spawns the next hook, if none runs and the state has changed. When it has ended, after `timeout` at the latest,
    /// [`Command::AwayHooksDone`] is posted to the connection.
    pub(super) fn run_next(
        &mut self,
        dispatch: &Arc<Dispatch>,
        caller: &Arc<EventCaller>,
        peer: &Arc<Peer>,
        timeout: Duration,
    ) {
        if self.task.is_some() {
            return;
        }
        let Some(call) = self.state.next_call() else { return };
        let (dispatch, caller, peer) = (Arc::clone(dispatch), Arc::clone(caller), Arc::clone(peer));
        let running = async move {
            let (name, ended) = match &call {
                HookCall::Away(info) => {
                    ("_away", tokio::time::timeout(timeout, dispatch.run_away_hooks(&caller, info)).await)
                }
                HookCall::Back(info) => {
                    ("_back", tokio::time::timeout(timeout, dispatch.run_back_hooks(&caller, info)).await)
                }
            };
            if ended.is_err()
                && let Some(suppressed) = dispatch.throttles.hook_timeouts.pass()
            {
                tracing::warn!(connection = %peer.id(), suppressed, "{name} did not end in time and was dropped");
            }
            peer.mailbox.post(Command::AwayHooksDone);
        };
        self.task = Some(tokio::spawn(running.in_current_span()));
    }

    /// Waits for the running hook. No other starts: `_close` tells that the connection is over. If this future is dropped, the
    /// hook is, too.
    pub(super) async fn finish(mut self) {
        if let Some(task) = &mut self.task {
            let _ = task.await;
        }
    }
}

impl Drop for AwayHooks {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use aaw_event::ClosedBy;

    use super::*;

    fn info(reason: &str) -> AwayInfo {
        AwayInfo::new(ClosedBy::Broken, None, reason)
    }

    #[test]
    fn away_and_back_alternate() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut state = AwayState::new(start);
        assert_eq!(state.next_call(), None);
        state.go_away(info("first"), at(1));
        assert_eq!(state.next_call(), Some(HookCall::Away(info("first"))));
        assert_eq!(state.next_call(), None);
        state.come_back(at(3));
        assert_eq!(state.next_call(), Some(HookCall::Back(BackInfo::new(Duration::from_secs(2)))));
        assert_eq!(state.next_call(), None);
        state.go_away(info("second"), at(10));
        assert_eq!(state.next_call(), Some(HookCall::Away(info("second"))));
    }

    #[test]
    fn a_change_that_is_over_before_its_hook_could_run_is_left_out_with_its_opposite() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut state = AwayState::new(start);
        state.go_away(info("first"), at(1));
        assert!(state.next_call().is_some());
        // While `_away` runs.
        for n in 0..1000 {
            state.come_back(at(2 + n));
            state.go_away(info("again"), at(2 + n));
        }
        assert_eq!(state.next_call(), None, "it is away, and `_away` ran last");
        state.come_back(at(2000));
        let absence = Duration::from_secs(1999);
        assert_eq!(state.next_call(), Some(HookCall::Back(BackInfo::new(absence))), "one absence, for the hooks");
        // While `_back` runs.
        state.go_away(info("reverted"), at(2001));
        state.come_back(at(2002));
        assert_eq!(state.next_call(), None);
        state.go_away(info("reverted"), at(2003));
        state.come_back(at(2004));
        state.go_away(info("last"), at(2005));
        assert_eq!(state.next_call(), Some(HookCall::Away(info("last"))));
        state.come_back(at(2006));
        assert_eq!(state.next_call(), Some(HookCall::Back(BackInfo::new(Duration::from_secs(1)))));
    }
}
