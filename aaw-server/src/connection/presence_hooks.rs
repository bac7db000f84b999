//! Runs `_away` and `_back`: in order, one at a time, however often the socket of a connection breaks.
//!
//! There is no queue. When a hook has ended, the next one is chosen by whether there is a socket then: a change that was
//! reverted in the meantime is left out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aaw_event::{AwayInfo, BackInfo};
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use crate::dispatch::Dispatch;
use crate::hub::{Command, EventCaller, Peer};

/// The `_away` and `_back` hooks of a connection.
pub(super) struct PresenceHooks {
    presence: Presence,
    /// The hooks of all modules for the last change that was told, while they run.
    task: Option<JoinHandle<()>>,
}

/// Whether there is a socket, and which of it the hooks have been told.
#[derive(Debug)]
struct Presence {
    /// Why there is no socket.
    away: Option<AwayInfo>,
    /// The hooks were told last that there is none.
    is_told_away: bool,
    /// When the absence began that the hooks were, or will be, told of.
    since: Instant,
    /// When it ended.
    until: Instant,
}

#[derive(Debug, PartialEq, Eq)]
enum Change {
    Away(AwayInfo),
    Back(BackInfo),
}

impl Presence {
    fn new(now: Instant) -> Self {
        Self { away: None, is_told_away: false, since: now, until: now }
    }

    fn go_away(&mut self, info: AwayInfo, now: Instant) {
        // Otherwise it is the same absence, for the hooks.
        if !self.is_told_away {
            self.since = now;
        }
        self.away = Some(info);
    }

    fn come_back(&mut self, now: Instant) {
        if self.away.take().is_some() {
            self.until = now;
        }
    }

    /// Returns what the hooks are to be told next.
    fn next_change(&mut self) -> Option<Change> {
        let change = match (&self.away, self.is_told_away) {
            (Some(info), false) => Change::Away(info.clone()),
            (None, true) => Change::Back(BackInfo::new(self.until.saturating_duration_since(self.since))),
            _ => return None,
        };
        self.is_told_away = !self.is_told_away;
        Some(change)
    }
}

impl PresenceHooks {
    pub(super) fn new(now: Instant) -> Self {
        Self { presence: Presence::new(now), task: None }
    }

    /// The connection has no socket, and may be resumed. [`run_next`](Self::run_next) follows.
    pub(super) fn go_away(&mut self, info: AwayInfo, now: Instant) {
        self.presence.go_away(info, now);
    }

    /// The connection has a socket again. [`run_next`](Self::run_next) follows.
    pub(super) fn come_back(&mut self, now: Instant) {
        self.presence.come_back(now);
    }

    /// The hooks that ran have ended. [`run_next`](Self::run_next) follows.
    pub(super) fn handle_done(&mut self) {
        self.task = None;
    }

    /// Spawns the next hooks, if there is a change to tell and none run. When they have ended, after `timeout` at the latest,
    /// [`Command::PresenceHooksDone`] is posted to the connection.
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
        let Some(change) = self.presence.next_change() else { return };
        let (dispatch, caller, peer) = (Arc::clone(dispatch), Arc::clone(caller), Arc::clone(peer));
        let telling = async move {
            let (name, told) = match &change {
                Change::Away(info) => {
                    ("_away", tokio::time::timeout(timeout, dispatch.run_away_hooks(&caller, info)).await)
                }
                Change::Back(info) => {
                    ("_back", tokio::time::timeout(timeout, dispatch.run_back_hooks(&caller, info)).await)
                }
            };
            if told.is_err() {
                tracing::warn!(connection = %peer.id(), "{name} did not end in time and was dropped");
            }
            peer.mailbox.post(Command::PresenceHooksDone);
        };
        self.task = Some(tokio::spawn(telling.in_current_span()));
    }

    /// Waits for the hooks that run. No further ones follow: `_close` does, which says all that they would. If this future
    /// is dropped, the hooks are, too.
    pub(super) async fn finish(mut self) {
        if let Some(task) = &mut self.task {
            let _ = task.await;
        }
    }
}

impl Drop for PresenceHooks {
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
        let mut presence = Presence::new(start);
        assert_eq!(presence.next_change(), None);
        presence.go_away(info("first"), at(1));
        assert_eq!(presence.next_change(), Some(Change::Away(info("first"))));
        assert_eq!(presence.next_change(), None);
        presence.come_back(at(3));
        assert_eq!(presence.next_change(), Some(Change::Back(BackInfo::new(Duration::from_secs(2)))));
        assert_eq!(presence.next_change(), None);
        presence.go_away(info("second"), at(10));
        assert_eq!(presence.next_change(), Some(Change::Away(info("second"))));
    }

    #[test]
    fn a_change_that_is_over_before_its_hook_could_run_is_left_out_with_its_opposite() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut presence = Presence::new(start);
        presence.go_away(info("first"), at(1));
        assert!(presence.next_change().is_some());
        // While `_away` runs.
        for n in 0..1000 {
            presence.come_back(at(2 + n));
            presence.go_away(info("again"), at(2 + n));
        }
        assert_eq!(presence.next_change(), None, "it is away, as the hooks were told");
        presence.come_back(at(2000));
        let absence = Duration::from_secs(1999);
        assert_eq!(presence.next_change(), Some(Change::Back(BackInfo::new(absence))), "one absence, for the hooks");
        // While `_back` runs.
        presence.go_away(info("reverted"), at(2001));
        presence.come_back(at(2002));
        assert_eq!(presence.next_change(), None);
        presence.go_away(info("reverted"), at(2003));
        presence.come_back(at(2004));
        presence.go_away(info("last"), at(2005));
        assert_eq!(presence.next_change(), Some(Change::Away(info("last"))));
        presence.come_back(at(2006));
        assert_eq!(presence.next_change(), Some(Change::Back(BackInfo::new(Duration::from_secs(1)))));
    }
}
