//! Resumption: the client's state goes on over another socket.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Deserialize;

use super::connection::ConnectionPhase;
use super::resumption_state::Resumption;
use super::{ClientConnection, DisconnectReason, Output};
use crate::clock::after;
use crate::codec::{self, BadFrame, Frame};
use crate::hello::{self, Hello, acknowledgement};
use crate::resumption::{CLOSE_SUPERSEDED, ResumptionKey, ResumptionRequest, ResumptionTerms, parse_count};

/// How long a server may be silent while it has a call. Then it is pinged, and after as long again the connection is considered
/// lost. Streams are exempt: they may wait for hours, and the heartbeat suffices for them.
const PROBE_INTERVAL: Duration = Duration::from_secs(3);

/// The part of the time that a call has waited for which the server may be silent, if that is longer: a call that takes
/// minutes costs a ping now and then, not one in 3 s.
const PROBE_PART: u32 = 4;

/// The longest interval for that reason: shorter than the heartbeat's, so that a probe takes its place.
const MAX_PROBE_INTERVAL: Duration = Duration::from_secs(15);

/// Beyond as many bytes that the server has not acknowledged, it is not expected to do so within seconds.
const MAX_PROBED_BYTES: usize = 16 << 10;

/// The interval is doubled three times at most, to 24 s: then the heartbeat is as fast.
const MAX_SILENCES: u32 = 3;

impl<W> ClientConnection<W> {
    /// Makes the next connection resumable, if its server agrees. To be called before each
    /// [`handle_connected`](Self::handle_connected), with a key of a secure random source that was never used before.
    pub fn offer_resumption(&mut self, key: ResumptionKey) {
        self.offered_key = Some(key);
    }

    /// Returns whether the connection was interrupted, and may still be resumed.
    pub fn is_interrupted(&self) -> bool {
        self.resumption.as_ref().is_some_and(|resumption| resumption.interrupted.is_some() && !resumption.resumed)
    }

    /// Returns whether messages of the connection are counted.
    pub(super) fn is_resumable(&self) -> bool {
        self.resumption.as_ref().is_some_and(|resumption| resumption.is_active())
    }

    /// Whether counted messages have to wait for the welcome.
    pub(super) fn awaits_terms(&self) -> bool {
        self.resumption.is_some() && matches!(self.phase, ConnectionPhase::AwaitingWelcome { .. })
    }

    /// Whether the server has acknowledged as little as it may.
    pub(super) fn is_log_full(&self) -> bool {
        self.resumption
            .as_ref()
            .is_some_and(|resumption| resumption.terms.is_some_and(|terms| resumption.sent.bytes > terms.log))
    }

    /// Returns what the hello asks for.
    pub(super) fn request_resumption(&mut self) -> Option<Box<ResumptionRequest>> {
        let fresh = self.offered_key.take();
        let token = self.token().map(|token| token.as_str().into());
        if let Some(resumption) = self.resumption.as_mut().filter(|resumption| resumption.is_active()) {
            resumption.next = fresh;
            resumption.attempts += 1;
            let attempt = Some(resumption.attempts);
            let received = Some(resumption.received.acknowledge());
            let key = resumption.key;
            return Some(Box::new(ResumptionRequest { key, resume: true, received, attempt, token, next: fresh }));
        }
        self.resumption = fresh.map(|key| Box::new(Resumption::new(key)));
        let key = fresh?;
        Some(Box::new(ResumptionRequest { key, resume: false, received: None, attempt: None, token: None, next: None }))
    }

    /// Sends a message that is counted, or keeps it for the next socket.
    pub(super) fn send_frame(&mut self, frame: Bytes) {
        let is_open = matches!(self.phase, ConnectionPhase::Open { .. } | ConnectionPhase::Closing { .. });
        if let Some(resumption) = self.resumption.as_mut().filter(|resumption| resumption.is_active()) {
            resumption.sent.push(frame.clone());
            if !is_open {
                return;
            }
        }
        self.outputs.push_back(Output::Send(frame));
    }

    /// The number of the last message that was sent.
    pub(super) fn last_sent(&self) -> u64 {
        self.resumption.as_ref().map_or(0, |resumption| resumption.sent.last())
    }

    /// Whether the server has acknowledged this message.
    pub(super) fn is_taken(&self, number: u64) -> bool {
        self.resumption
            .as_ref()
            .is_some_and(|resumption| resumption.is_active() && number <= resumption.sent.acknowledged)
    }

    /// Counts a message from the server.
    pub(super) fn count_received(&mut self, now: Instant, bytes: usize) {
        if matches!(self.phase, ConnectionPhase::Open { .. } | ConnectionPhase::Closing { .. })
            && let Some(resumption) = self.resumption.as_mut().filter(|resumption| resumption.is_active())
        {
            resumption.received.receive(now, bytes);
            resumption.note_news();
        }
    }

    /// Acknowledges what was received, if that is due, or if a call is about to be written and takes it along.
    pub(super) fn acknowledge_received(&mut self, now: Instant, is_writing: bool) {
        if matches!(self.phase, ConnectionPhase::Open { .. })
            && let Some(resumption) = self.resumption.as_mut().filter(|resumption| resumption.is_active())
            && let Some(number) = resumption.received.poll(now, false, is_writing)
        {
            self.outputs.push_back(Output::Send(acknowledgement(number).into()));
        }
    }

    /// Acknowledges all that was received.
    pub(super) fn acknowledge_at_once(&mut self) {
        if matches!(self.phase, ConnectionPhase::Open { .. })
            && let Some(resumption) = self.resumption.as_mut().filter(|resumption| resumption.is_active())
        {
            let number = resumption.received.acknowledge();
            self.outputs.push_back(Output::Send(acknowledgement(number).into()));
        }
    }

    pub(super) fn handle_acknowledgement(&mut self, frame: &Frame<'_>) -> Result<(), BadFrame> {
        let Some(resumption) = self.resumption.as_mut().filter(|resumption| resumption.is_active()) else {
            return Ok(());
        };
        let number = parse_count(frame.data).map_err(BadFrame::Unexpected)?;
        let before = resumption.sent.acknowledged;
        if !resumption.sent.acknowledge(number) {
            let last = resumption.sent.last();
            let error = format!("message {number} was never sent; the last is {last}");
            return Err(BadFrame::Unexpected(error));
        }
        if resumption.sent.acknowledged > before {
            resumption.note_news();
        }
        Ok(())
    }

    pub(super) fn handle_gap(&mut self, now: Instant, frame: &Frame<'_>) -> Result<(), BadFrame> {
        #[derive(Deserialize)]
        struct Gap {
            lost: u64,
        }
        let gap = serde_json::from_str::<Gap>(frame.data).ok().filter(|gap| (1..=1 << 53).contains(&gap.lost));
        let Gap { lost } =
            gap.ok_or_else(|| BadFrame::Unexpected("aaw/gap must have `lost`, an integer from 1".into()))?;
        // Without resumption there is none, so it is an extension.
        let Some(resumption) = self.resumption.as_mut().filter(|resumption| resumption.is_active()) else {
            return Ok(());
        };
        // The frame itself was counted.
        resumption.received.receive_many(now, lost - 1, 0);
        self.outputs.push_back(Output::Gap { lost });
        Ok(())
    }

    /// Handles the server's terms: the state goes on, or a new one begins. Returns whether it goes on.
    pub(super) fn handle_terms(&mut self, now: Instant, resumed: bool, terms: Option<ResumptionTerms>) -> bool {
        let Some(resumption) = &mut self.resumption else { return false };
        if resumption.is_active() {
            if resumed
                && let Some(terms) = terms
                && let Some(received) = terms.received
                && received >= resumption.sent.acknowledged
                && resumption.sent.acknowledge(received)
            {
                resumption.terms = Some(terms);
                resumption.resumed = true;
                resumption.is_unproven = true;
                resumption.probed = None;
                if resumption.sent.messages.is_empty() {
                    resumption.note_progress();
                }
                let again: Vec<_> = resumption.sent.messages.iter().cloned().map(Output::Send).collect();
                self.outputs.push_back(Output::Resumed);
                self.outputs.extend(again);
                return true;
            }
            if resumed {
                self.end_state(DisconnectReason::StateLost);
                self.abort_connection(now, DisconnectReason::StateLost);
                return true;
            }
            let next = resumption.next;
            self.end_state(DisconnectReason::StateLost);
            self.resumption = next.map(|key| Box::new(Resumption::new(key)));
        }
        match (&mut self.resumption, terms) {
            (Some(resumption), Some(terms)) => resumption.terms = Some(terms),
            _ => self.resumption = None,
        }
        false
    }

    /// Handles the server's refusal of a resuming hello: the state is given up, and a new one begins on the same socket.
    pub(super) fn handle_refused_hello(&mut self, text: String) {
        if !matches!(self.phase, ConnectionPhase::AwaitingWelcome { .. }) || !self.is_resumable() {
            return;
        }
        self.offered_key = self.resumption.as_ref().and_then(|resumption| resumption.next);
        self.end_state(DisconnectReason::ResumptionRefused(text));
        let hello = Hello { resumption: self.request_resumption() };
        self.outputs.push_back(Output::Send(codec::message(hello::HELLO, &hello).into()));
    }

    /// The socket of a connection is gone. Returns whether the connection goes on, and may be resumed.
    pub(super) fn interrupt(&mut self, now: Instant, why: &DisconnectReason) -> bool {
        let Some(resumption) = self.resumption.as_mut().filter(|resumption| resumption.is_active()) else {
            return false;
        };
        let is_over = match why {
            DisconnectReason::ClosedByServer { code, .. } => {
                matches!(*code, 1001 | 1002 | 1007..=1009 | 1013 | CLOSE_SUPERSEDED)
            }
            DisconnectReason::ClosedByUs => true,
            _ => false,
        };
        if is_over {
            return false;
        }
        let window = resumption.terms.map_or(0, |terms| terms.window);
        resumption.probed = None;
        let was_open = resumption.interrupted.is_none() || std::mem::take(&mut resumption.resumed);
        // A message that breaks each socket must not do so without end.
        if resumption.interrupted.is_none() {
            resumption.interrupted = Some((after(now, Duration::from_millis(window)), why.clone()));
        }
        if was_open {
            self.outputs.push_back(Output::Interrupted(why.clone()));
        }
        true
    }

    /// Ends the state of a connection: what was written, and has no result, has an unknown one.
    pub(super) fn end_state(&mut self, why: DisconnectReason) {
        self.resumption = None;
        self.next_id = 1;
        self.login.handle_disconnected();
        self.pending_open = None;
        self.complete_written_calls(&why);
        self.cancel_client_calls();
        // Of a client that is being closed, the end is reported once.
        if !self.is_closing() {
            self.outputs.push_back(Output::Disconnected(why));
        }
    }

    /// Gives up an interrupted connection that could not be resumed in time.
    pub(super) fn expire_interruption(&mut self, now: Instant) {
        if let Some(resumption) = &mut self.resumption
            && !resumption.resumed
            && let Some((_, why)) = resumption.interrupted.take_if(|(until, _)| *until <= now)
        {
            // Of an attempt that is under way, the hello may be sent already.
            if matches!(self.phase, ConnectionPhase::AwaitingWelcome { .. }) {
                resumption.interrupted = Some((after(now, self.config.welcome_timeout), why));
                return;
            }
            self.end_state(DisconnectReason::NotResumed(Box::new(why)));
        }
    }

    /// The server has sent anything.
    pub(super) fn note_sign_of_life(&mut self, now: Instant) {
        self.waits_since = Some(now);
        self.has_unanswered = false;
        if let Some(resumption) = &mut self.resumption {
            resumption.probed = None;
        }
    }

    /// Whether the server has a call, or had one that has ended without a word from it.
    pub(super) fn is_waiting(&self) -> bool {
        self.written_unary > 0 || self.has_unanswered
    }

    /// When the server is to be pinged, or given up, because it is silent while it has a call.
    fn probe_due(&self) -> Option<Instant> {
        let resumption = self.resumption.as_ref().filter(|resumption| resumption.is_active())?;
        // A large message may take longer than this on a network that works. The heartbeat covers it.
        let is_small = resumption.sent.bytes < MAX_PROBED_BYTES;
        let is_open = matches!(self.phase, ConnectionPhase::Open { .. }) && is_small;
        let interval = PROBE_INTERVAL * (1 << resumption.silences);
        let due = if let Some(probed) = resumption.probed {
            after(probed, interval)
        } else {
            let since = self.waits_since?;
            let waited = self.written_at.map_or(Duration::ZERO, |written| since.saturating_duration_since(written));
            after(since, interval.max(MAX_PROBE_INTERVAL.min(waited / PROBE_PART)))
        };
        (is_open && self.is_waiting()).then_some(due)
    }

    pub(super) fn probe(&mut self, now: Instant) {
        if self.probe_due().is_none_or(|due| now < due) {
            return;
        }
        let Some(resumption) = &mut self.resumption else { return };
        if resumption.probed.is_some() {
            resumption.silences = MAX_SILENCES.min(resumption.silences + 1);
            self.abort_connection(now, DisconnectReason::Silent);
        } else {
            resumption.probed = Some(now);
            self.outputs.push_back(Output::Ping);
        }
    }

    /// Returns when resumption needs the time.
    pub(super) fn resumption_due(&self) -> Option<Instant> {
        let resumption = self.resumption.as_ref()?;
        let acknowledgement = resumption
            .received
            .due(false)
            .filter(|_| resumption.is_active() && matches!(self.phase, ConnectionPhase::Open { .. }));
        let interruption = resumption.interrupted.as_ref().filter(|_| !resumption.resumed).map(|(until, _)| *until);
        [acknowledgement, interruption, self.probe_due()].into_iter().flatten().min()
    }
}
