//! The session of the client: stores the token from the server's responses, and presents it on each new connection.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::login_state::{PendingResume, StoredToken};
use super::{CallKey, CallResult, ClientConnection, EncodedMessage, Output, ProtocolWarning};
use crate::clock::after;
use crate::codec::{BadFrame, Frame};
use crate::{Code, Dialect, Failure, Token};

/// The events whose response contains a token, as JSON.
const TOKEN_EVENTS: [&str; 4] = [r#""aaw/login""#, r#""aaw/register""#, r#""aaw/resume""#, r#""aaw/password/set-new""#];
const SET_NEW_PASSWORD: &str = TOKEN_EVENTS[3];
const LOGOUT: &str = r#""aaw/logout""#;
const RESUME: &str = "aaw/resume";

impl<W> ClientConnection<W> {
    /// Stores a token from an earlier run, or deletes the stored one. It is presented to the server on the next
    /// connection.
    pub fn set_token(&mut self, token: Option<Token>) {
        self.login.stored = token.map(|token| StoredToken { token, issued_by: None });
    }

    /// Returns the stored token.
    pub fn token(&self) -> Option<&Token> {
        self.login.stored.as_ref().map(|stored| &stored.token)
    }

    /// Presents the token on a new connection, before anything else is sent.
    ///
    /// The token of a v1 server is not presented to a classic one, because a classic server may terminate when it
    /// receives an event that it does not have.
    pub(super) fn send_resume(&mut self, now: Instant, dialect: Dialect) {
        #[derive(Serialize)]
        struct ResumeBody<'a> {
            token: &'a Token,
        }
        let Some(StoredToken { token, issued_by }) = &self.login.stored else { return };
        if dialect == Dialect::Classic && *issued_by == Some(Dialect::V1) {
            return;
        }
        let Ok(message) = EncodedMessage::new(RESUME, &ResumeBody { token }) else { return };
        let id = self.next_id;
        self.next_id += 1;
        if dialect == Dialect::Classic {
            self.fifo_matcher.add(message.event_json(), id);
        }
        let frame = message.into_call(id);
        let deadline = Some(after(now, self.config.resume_timeout));
        self.login.resume = Some(PendingResume { id, token: token.clone(), deadline });
        self.send_frame(frame);
    }

    /// Handles the response of `aaw/resume`.
    pub(super) fn handle_resume_response(&mut self, result: CallResult) {
        let Some(PendingResume { token, .. }) = self.login.resume.take() else { return };
        match result {
            CallResult::Response(data) if !self.store_token(&data) => {
                let bad = BadFrame::Unexpected(format!("a malformed response to {RESUME}"));
                self.outputs.push_back(Output::Warning(ProtocolWarning::BadFrame(bad)));
            }
            // Only if the token was not replaced in the meantime.
            CallResult::Failed(failure) if is_session_expired(&failure) && self.token() == Some(&token) => {
                self.login.stored = None;
                self.outputs.push_back(Output::Unauthorized(failure));
            }
            CallResult::Failed(failure) if is_session_expired(&failure) => {}
            // The server is busy or its store is unavailable, which does not invalidate the token. The next connection
            // tries again.
            CallResult::Failed(failure) => self.outputs.push_back(Output::Warning(ProtocolWarning::Reported(failure))),
            _ => {}
        }
        self.emit_opened();
    }

    /// Lets calls go out without the session if the server has not accepted the token in time.
    pub(super) fn expire_resume(&mut self, now: Instant) {
        if let Some(resume) = &mut self.login.resume
            && resume.deadline.is_some_and(|deadline| deadline <= now)
        {
            resume.deadline = None;
            self.emit_opened();
        }
    }

    /// Handles the response of an application's call, if it changes the session.
    pub(super) fn handle_session_response(&mut self, key: CallKey, data: &str) {
        match self.written_event(key) {
            Some(event) if TOKEN_EVENTS.contains(&event) => _ = self.store_token(data),
            Some(LOGOUT) => {
                self.login.stored = None;
                self.login.logged_out = true;
                self.outputs.push_back(Output::LoggedOut);
            }
            _ => {}
        }
    }

    /// Stores the token from a response. Returns `false` if the response is malformed.
    fn store_token(&mut self, data: &str) -> bool {
        #[derive(Deserialize)]
        struct TokenResponse<'a> {
            token: Token,
            #[serde(borrow)]
            user: &'a RawValue,
        }
        let Ok(TokenResponse { token, user }) = serde_json::from_str(data) else { return false };
        self.login.stored = Some(StoredToken { token: token.clone(), issued_by: self.dialect() });
        self.login.logged_out = false;
        self.outputs.push_back(Output::LoggedIn { token, user: user.get().into() });
        // From then on, the server demands the token of those who resume.
        self.acknowledge_at_once();
        true
    }

    /// Handles the server's notification that the session of the connection was ended.
    pub(super) fn handle_session_ended(&mut self, frame: &Frame<'_>) -> Result<(), BadFrame> {
        #[derive(Deserialize)]
        struct SessionEndedBody {
            ended: String,
        }
        let SessionEndedBody { ended } = serde_json::from_str(frame.data)
            .map_err(|error| BadFrame::Unexpected(format!("a malformed aaw/session: {error}")))?;
        // If this client's own call ended the session, the response of the call reports it.
        let is_own_call = self.login.logged_out
            || self.written.values().any(|key| matches!(self.written_event(*key), Some(LOGOUT | SET_NEW_PASSWORD)));
        if !is_own_call {
            self.login.stored = None;
            let text = match ended.as_str() {
                "logout" => "Logged out elsewhere",
                "password" => "The password has changed",
                _ => SESSION_EXPIRED,
            };
            self.outputs.push_back(Output::Unauthorized(Failure::new(Code::NOT_AUTHENTICATED, text)));
        }
        Ok(())
    }
}

const SESSION_EXPIRED: &str = "Session expired";

/// Whether a failure means that the session does not exist, rather than that the server could not look it up. A classic
/// server sends no codes, so its text is compared.
fn is_session_expired(failure: &Failure) -> bool {
    failure.code == Code::NOT_AUTHENTICATED || failure.error == SESSION_EXPIRED
}
