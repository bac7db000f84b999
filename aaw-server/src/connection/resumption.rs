//! A connection whose client can resume it: from its hello on, while it has no socket, and when it gets another one.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use aaw_event::{AwayInfo, ClosedBy};
use aaw_protocol::clock;
use aaw_protocol::resumption::{
    CLOSE_RESUMING, MAX_UNACKNOWLEDGED_BYTES, MAX_UNACKNOWLEDGED_MESSAGES, ResumptionKey, ResumptionRequest,
};
use aaw_protocol::server::Close;
use aaw_protocol::websocket::FrameBuffer;
use tokio::sync::oneshot;

use super::end::ConnectionEnd;
use super::resumption_state::{
    AwaitedGrant, Away, NewSocket, Resuming, Resumption, ResumptionHooks, Unacknowledged, UnacknowledgedStage,
};
use super::state::ConnectionState;
use crate::auth::SessionGuard;
use crate::hub::{Command, LogState, Peer, ResumableConnection, ResumeRefusal, ResumeRequest, UncountedFrames};

impl ConnectionState {
    /// Returns whether to read from the client.
    pub(super) fn wants_input(&self) -> bool {
        self.protocol.wants_input() && self.resuming.is_none()
    }

    /// Handles a hello that asks for resumption.
    pub(super) fn handle_hello(&mut self, request: ResumptionRequest) {
        let ResumptionRequest { key, resume, received, attempt, token, next } = request;
        if !resume {
            return self.begin_resumable(&key);
        }
        let Some(received) = received else {
            return self.refuse_hello("received is missing, which is required to resume");
        };
        match self.guard.resumable().get(&key) {
            None => self.begin_anew(next),
            Some(connection) if connection.origin.as_ref() != self.origin.as_deref() => {
                self.refuse_hello("the state belongs to a page of another origin");
            }
            Some(ResumableConnection { peer, .. }) => {
                let (sender, reply) = oneshot::channel();
                let info = if self.dispatch.has_resume_hooks() { self.open_info.clone() } else { None };
                if info.is_some() {
                    // The client waits for the hook.
                    self.protocol.extend_hello_timeout(self.config.handshake_timeout);
                }
                let request = ResumeRequest { received, attempt, token, info, hook_number: None, reply: sender };
                peer.mailbox.post(Command::Resume(Box::new(request)));
                self.resuming = Some(Box::new(Resuming { awaited: AwaitedGrant { peer, reply }, next }));
            }
        }
    }

    /// Waits for the answer of the connection that the client wants to continue. Returns that connection, and the number of its
    /// grant, if this socket is to be handed to it.
    pub(super) fn poll_resuming(&mut self, cx: &mut Context<'_>) -> Option<(Arc<Peer>, u64)> {
        let resuming = self.resuming.as_mut()?;
        let Poll::Ready(answer) = Pin::new(&mut resuming.awaited.reply).poll(cx) else { return None };
        let Resuming { awaited, next } = *self.resuming.take()?;
        match answer {
            Ok(Ok(grant_number)) => return Some((Arc::clone(&awaited.peer), grant_number)),
            Ok(Err(refusal)) => self.refuse_hello(&refusal.to_string()),
            // It is over.
            Err(_) => self.begin_anew(next),
        }
        self.collect_outputs();
        None
    }

    fn refuse_hello(&mut self, reason: &str) {
        // The frame is valid, so it is none that a log should warn of.
        let _ = self.protocol.refuse_hello(reason);
        tracing::debug!("the hello was refused: {reason}");
    }

    /// Begins a new state in the place of one that is gone.
    fn begin_anew(&mut self, key: Option<ResumptionKey>) {
        match key {
            Some(key) => self.begin_resumable(&key),
            None => self.protocol.begin(false),
        }
    }

    fn begin_resumable(&mut self, key: &ResumptionKey) {
        let connection = ResumableConnection { peer: Arc::clone(self.peer()), origin: self.origin.as_deref().cloned() };
        let Some(guard) = self.guard.resumable().insert(key, connection) else {
            return self.refuse_hello("the key belongs to another connection; to resume that one, add \"resume\":true");
        };
        // The table of resumable connections has it.
        self.origin = None;
        self.resumption = Some(Box::new(Resumption {
            guard,
            uncounted: UncountedFrames::default(),
            granted: None,
            grants: 0,
            next_socket: None,
            away: None,
            last_attempt: 0,
            known_session: None,
            unacknowledged: None,
        }));
        self.protocol.begin(true);
    }

    /// Appends the welcome. What a resumable connection sends from then on is counted and retained.
    pub(super) fn send_welcome(&mut self, welcome: bytes::Bytes) {
        self.output.text(welcome);
        if self.protocol.is_resumable()
            && let Some(resumption) = &mut self.resumption
        {
            resumption.uncounted.frames.append(&mut self.output);
            resumption.uncounted.are_first = true;
            self.guard.peer.mailbox.retain();
        }
    }

    /// The buffer for frames that are not counted.
    pub(super) fn uncounted(&mut self) -> &mut FrameBuffer {
        match &mut self.resumption {
            Some(resumption) if self.protocol.is_resumable() => &mut resumption.uncounted.frames,
            _ => &mut self.output,
        }
    }

    pub(super) fn handle_acknowledgement(&mut self, number: u64) {
        match self.peer().mailbox.acknowledge(number) {
            Ok(bytes) => self.protocol.set_unacknowledged_bytes(bytes),
            Err(error) => {
                let input = self.protocol.reject_acknowledgement(error);
                self.handle_protocol_input_without_call(input);
            }
        }
    }

    /// A new socket asks to continue this connection.
    pub(super) fn handle_resume_request(&mut self, now: Instant, request: Box<ResumeRequest>) {
        let is_over = self.end.as_ref().is_some_and(|end| !self.survives(end));
        if is_over || self.draining || request.reply.is_closed() || !self.protocol.is_resumable() {
            // Without an answer, the client begins a new state.
            return;
        }
        let Some(resumption) = &mut self.resumption else { return };
        let session = self.guard.peer.context.session.current();
        let must_show_token = session.as_ref().is_some_and(|session| {
            let known = resumption.known_session.as_ref();
            known.is_some_and(|known| Arc::ptr_eq(&known.0, session) && request.received >= known.1)
        });
        let shows_token =
            session.is_some_and(|session| request.token.as_ref().is_some_and(|token| session.has_token(token)));
        let last = resumption.last_attempt;
        let hooks = self.resumption_hooks.as_ref();
        let is_superseded =
            request.hook_number.is_some_and(|number| hooks.is_some_and(|hooks| hooks.resume.is_superseded(number)));
        let checked = if let Some(attempt) = request.attempt.filter(|attempt| *attempt <= last) {
            // Of a socket that the client has given up since.
            Err(ResumeRefusal::Late { attempt, last })
        } else if must_show_token && !shows_token {
            Err(ResumeRefusal::Token)
        } else if is_superseded {
            Err(ResumeRefusal::Superseded)
        } else {
            self.guard.peer.mailbox.check_received(request.received)
        };
        match checked {
            // All is checked again when it has passed.
            Ok(()) if request.hook_number.is_none() && self.dispatch.has_resume_hooks() => {
                self.run_resume_hook(now, request);
            }
            Ok(()) => {
                if let (Some(hooks), Some(number)) = (&mut self.resumption_hooks, request.hook_number) {
                    hooks.resume.note_granted(number);
                }
                // What it has received was checked.
                let _ = self.guard.peer.mailbox.acknowledge(request.received);
                resumption.last_attempt = request.attempt.unwrap_or(last);
                if let Some(earlier) = resumption.granted.replace(request) {
                    // The socket may have gone meanwhile.
                    let _ = earlier.reply.send(Err(ResumeRefusal::Superseded));
                }
                self.end.get_or_insert_with(|| Box::new(ConnectionEnd::Superseded));
            }
            // The socket may have gone meanwhile.
            Err(refusal) => _ = request.reply.send(Err(refusal)),
        }
    }

    fn run_resume_hook(&mut self, now: Instant, request: Box<ResumeRequest>) {
        let (dispatch, caller, peer) = (Arc::clone(&self.dispatch), Arc::clone(&self.caller), Arc::clone(self.peer()));
        let hooks = self.resumption_hooks.get_or_insert_with(|| Box::new(ResumptionHooks::new(now)));
        hooks.resume.spawn(request, dispatch, caller, peer, self.config.handshake_timeout);
    }

    /// The socket has ended. The client has the window to resume the connection.
    pub(super) fn note_socket_lost(&mut self, now: Instant, why: ConnectionEnd) {
        let Some(resumption) = &mut self.resumption else { return };
        // A client that has another socket already is not away, unless that socket does not come.
        let away_info = (!matches!(why, ConnectionEnd::Superseded)).then(|| why.away_info());
        resumption.away = Some(Box::new(Away { until: clock::after(now, self.config.resumption_window), why }));
        if let Some(info) = away_info {
            self.note_away(now, info);
        }
    }

    /// Answers the granted request: the previous socket is no longer read.
    pub(super) fn answer_granted(&mut self, now: Instant) {
        let Some(resumption) = &mut self.resumption else { return };
        let Some(request) = resumption.granted.take() else { return };
        // Of an earlier grant.
        resumption.next_socket = None;
        resumption.grants += 1;
        let grant_number = resumption.grants;
        // The new socket may have gone meanwhile.
        if request.reply.send(Ok(grant_number)).is_err() {
            self.handle_grant_lost(now, grant_number);
        }
    }

    /// The client is away: `_away` runs, if the connection has passed `_open`.
    fn note_away(&mut self, now: Instant, info: AwayInfo) {
        if self.open_hook.is_some() && self.dispatch.has_away_hooks() {
            let hooks = self.resumption_hooks.get_or_insert_with(|| Box::new(ResumptionHooks::new(now)));
            hooks.away.go_away(info, now);
            self.run_away_hooks();
        }
    }

    /// The connection has a socket again: `_back` runs, if `_away` has.
    pub(super) fn note_back(&mut self, now: Instant) {
        if let Some(hooks) = &mut self.resumption_hooks {
            hooks.away.come_back(now);
            self.run_away_hooks();
        }
    }

    pub(super) fn handle_away_hooks_done(&mut self) {
        if let Some(hooks) = &mut self.resumption_hooks {
            hooks.away.handle_done();
            self.run_away_hooks();
        }
    }

    fn run_away_hooks(&mut self) {
        if let Some(hooks) = &mut self.resumption_hooks {
            let timeout = self.config.linger_timeout;
            hooks.away.run_next(&self.dispatch, &self.caller, &self.guard.peer, timeout);
        }
    }

    /// The socket of a grant does not come. If it was to replace one that was still there, the connection is away from now on.
    pub(super) fn handle_grant_lost(&mut self, now: Instant, grant_number: u64) {
        if let Some(resumption) = &self.resumption
            && grant_number == resumption.grants
            && resumption.next_socket.is_none()
            && resumption.away.as_ref().is_some_and(|away| matches!(away.why, ConnectionEnd::Superseded))
        {
            self.note_away(now, AwayInfo::new(ClosedBy::Broken, None, "the socket on which it was resumed has ended"));
        }
    }

    /// Accepts the socket of the last grant. Another one belongs to a client that has given it up since.
    pub(super) fn handle_new_socket(&mut self, socket: Box<NewSocket>) {
        if let Some(resumption) = &mut self.resumption
            && socket.grant_number == resumption.grants
        {
            resumption.next_socket = Some(socket);
        }
    }

    /// The state is needed by others: a connection that is away ends.
    pub(super) fn drop_away(&mut self) {
        if let Some(away) = self.resumption.as_mut().and_then(|resumption| resumption.away.take()) {
            tracing::debug!("the state of a client that is away was dropped");
            self.resumption = None;
            self.end = Some(Box::new(away.why));
        }
    }

    /// Ends the connection if its client has been away for too long.
    pub(super) fn check_away(&mut self, now: Instant) {
        let is_over = |away: &mut Box<Away>| away.until <= now;
        if let Some(away) = self.resumption.as_mut().and_then(|resumption| resumption.away.take_if(is_over)) {
            self.resumption = None;
            self.end = Some(Box::new(away.why));
        }
    }

    /// Returns whether the connection goes on without its socket.
    pub(super) fn survives(&self, end: &ConnectionEnd) -> bool {
        let is_break = match end {
            ConnectionEnd::Disconnected | ConnectionEnd::Broken(_) | ConnectionEnd::Superseded => true,
            ConnectionEnd::ByServer(close) => matches!(close, Close::Silent | Close::Stalled),
            ConnectionEnd::ByClient(close) => close.as_ref().is_some_and(|close| close.code == CLOSE_RESUMING),
            ConnectionEnd::Violation(_) | ConnectionEnd::HandedOver(..) => false,
        };
        is_break && self.resumption.is_some() && self.protocol.is_resumable() && !self.draining
    }

    /// To be called at the end of each turn: acknowledges what was received, and notes from which message on the client knows its
    /// token.
    pub(super) fn end_counting(&mut self, now: Instant) {
        let Some(resumption) = &mut self.resumption else { return };
        if self.protocol.take_login_ended() {
            let session = self.guard.peer.context.session.current();
            let is_known = |session: &Arc<SessionGuard>| {
                resumption.known_session.as_ref().is_some_and(|known| Arc::ptr_eq(&known.0, session))
            };
            if session.as_ref().is_none_or(|session| !is_known(session)) {
                let last = self.guard.peer.mailbox.last_retained() + self.output.messages() as u64;
                resumption.known_session = session.map(|session| Box::new((session, last)));
            }
        }
        if let Some(acknowledgement) = self.protocol.poll_acknowledgement(now, !self.output.is_empty()) {
            resumption.uncounted.frames.text(acknowledgement.into());
        }
    }

    /// Returns whether there is a socket to continue on.
    pub(super) fn has_next_socket(&self) -> bool {
        self.resumption.as_ref().is_some_and(|resumption| resumption.next_socket.is_some())
    }

    /// Returns when to [check](Self::check_away) whether the client has been away, or has not acknowledged, for too long.
    pub(super) fn resumption_due(&self) -> Option<Instant> {
        let resumption = self.resumption.as_ref()?;
        let away = resumption.away.as_ref().map(|away| away.until);
        let is_timed = |waits: &&Unacknowledged| waits.stage != UnacknowledgedStage::Pinged;
        let unacknowledged = resumption.unacknowledged.as_deref().filter(is_timed);
        let acknowledgement = unacknowledged.map(|waits| clock::after(waits.since, waits.stage.timeout()));
        away.into_iter().chain(acknowledgement).min()
    }

    /// Closes the connection of a client that receives what is sent, and does not acknowledge what it must acknowledge at once.
    /// Returns whether there is something to do at once.
    pub(super) fn check_unacknowledged(&mut self, now: Instant, log: &LogState) -> bool {
        let Some(resumption) = &mut self.resumption else { return false };
        let is_too_much = log.unacknowledged_messages as u64 >= MAX_UNACKNOWLEDGED_MESSAGES
            || log.unacknowledged >= MAX_UNACKNOWLEDGED_BYTES;
        if self.protocol.is_away() || log.blocked {
            // The time does not run while the client cannot receive.
            if let Some(unacknowledged) = &mut resumption.unacknowledged {
                unacknowledged.since = now;
            }
            return false;
        }
        // Neither a part of it nor another socket ends the wait: the client must acknowledge all that was there when it began.
        match resumption.unacknowledged.as_mut().filter(|unacknowledged| unacknowledged.last > log.acknowledged) {
            None => {
                let wait = Unacknowledged { since: now, last: log.last, stage: UnacknowledgedStage::Waits };
                resumption.unacknowledged = is_too_much.then(|| Box::new(wait));
                false
            }
            Some(unacknowledged) => {
                if now.duration_since(unacknowledged.since) < unacknowledged.stage.timeout() {
                    return false;
                }
                match unacknowledged.stage {
                    UnacknowledgedStage::Waits => {
                        unacknowledged.stage = UnacknowledgedStage::Pinged;
                        resumption.uncounted.frames.ping();
                        true
                    }
                    // The heartbeat finds whether the client is there.
                    UnacknowledgedStage::Pinged => false,
                    UnacknowledgedStage::Ponged => {
                        self.protocol.close(Close::Unacknowledged);
                        self.collect_outputs();
                        true
                    }
                }
            }
        }
    }

    /// The client has received what was sent before a ping.
    pub(super) fn handle_pong(&mut self, now: Instant) {
        if let Some(unacknowledged) = self.resumption.as_mut().and_then(|resumption| resumption.unacknowledged.as_mut())
            && unacknowledged.stage == UnacknowledgedStage::Pinged
        {
            unacknowledged.stage = UnacknowledgedStage::Ponged;
            unacknowledged.since = now;
        }
    }
}
