//! The token of a session: kept from whatever answer gives one, and shown to the server on each new connection.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{CallKey, CallResult, ClientConnection, EncodedMessage, Output, ProtocolWarning};
use crate::clock::after;
use crate::codec::{BadFrame, Frame};
use crate::{Code, Dialect, Failure, Token};

/// Events whose answer has a token, as JSON.
const GIVE: [&str; 4] = [r#""aaw/login""#, r#""aaw/register""#, r#""aaw/resume""#, r#""aaw/password/set-new""#];
const SET_NEW: &str = GIVE[3];
const LOGOUT: &str = r#""aaw/logout""#;
const RESUME: &str = "aaw/resume";

/// What the session knows of being logged in.
#[derive(Debug, Default)]
pub(super) struct Login {
    kept: Option<Kept>,
    /// The token was shown on this connection, and not answered.
    resume: Option<Resume>,
    /// Whether the session was ended from here, so that to hear of it is no news.
    logged_out: bool,
}

#[derive(Debug)]
struct Kept {
    token: Token,
    /// What the server spoke that gave it. A classic server may end at the name of an event that it does not have.
    from: Option<Dialect>,
}

#[derive(Debug)]
struct Resume {
    id: i64,
    token: Token,
    /// Until when calls wait for it. `None` once they wait no more; its answer still counts.
    due: Option<Instant>,
}

impl Login {
    /// Whether calls have to wait.
    pub(super) fn is_resuming(&self) -> bool {
        self.due().is_some()
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.resume.as_ref().and_then(|resume| resume.due)
    }

    pub(super) fn is_resume(&self, id: i64) -> bool {
        self.resume.as_ref().is_some_and(|resume| resume.id == id)
    }

    /// The connection is gone.
    pub(super) fn disconnected(&mut self) {
        self.resume = None;
        self.logged_out = false;
    }
}

impl<W> ClientConnection<W> {
    /// Keeps a token from before, or forgets the one that is kept. It is shown to the server on the next connection.
    pub fn set_token(&mut self, token: Option<Token>) {
        self.login.kept = token.map(|token| Kept { token, from: None });
    }

    /// The token that is kept.
    pub fn token(&self) -> Option<&Token> {
        self.login.kept.as_ref().map(|kept| &kept.token)
    }

    /// On a new connection: the token goes out before everything else.
    pub(super) fn begin_resume(&mut self, now: Instant, dialect: Dialect) {
        #[derive(Serialize)]
        struct Body<'a> {
            token: &'a Token,
        }
        let Some(Kept { token, from }) = &self.login.kept else { return };
        if dialect == Dialect::Classic && *from == Some(Dialect::V1) {
            return;
        }
        let Ok(draft) = EncodedMessage::new(RESUME, &Body { token }) else { return };
        let id = self.next_id;
        self.next_id += 1;
        let (frame, event_json) = draft.into_call(id);
        if dialect == Dialect::Classic {
            self.oldest.written(&event_json, id);
        }
        let due = Some(after(now, self.config.resume_timeout));
        self.login.resume = Some(Resume { id, token: token.clone(), due });
        self.outputs.push_back(Output::Send(frame));
    }

    /// The answer to that.
    pub(super) fn end_resume(&mut self, outcome: CallResult) {
        let Some(Resume { token, .. }) = self.login.resume.take() else { return };
        match outcome {
            CallResult::Response(data) if !self.learn(&data) => {
                let bad = BadFrame::OutOfPlace(format!("an answer to {RESUME} that cannot be read"));
                self.outputs.push_back(Output::Warning(ProtocolWarning::BadFrame(bad)));
            }
            // Not what has been got since.
            CallResult::Failed(failure) if has_expired(&failure) && self.token() == Some(&token) => {
                self.login.kept = None;
                self.outputs.push_back(Output::Unauthorized(failure));
            }
            CallResult::Failed(failure) if has_expired(&failure) => {}
            // The server is busy, its store is away: that says nothing about the token. The next connection tries again.
            CallResult::Failed(failure) => self.outputs.push_back(Output::Warning(ProtocolWarning::Reported(failure))),
            _ => {}
        }
        self.tell_opened();
    }

    /// Nobody waits any more for the token to be taken. Its answer may still come.
    pub(super) fn time_out_resume(&mut self, now: Instant) {
        if let Some(resume) = &mut self.login.resume
            && resume.due.is_some_and(|due| due <= now)
        {
            resume.due = None;
            self.tell_opened();
        }
    }

    /// A call of the application's was answered: perhaps it was about the session.
    pub(super) fn notice(&mut self, key: CallKey, data: &str) {
        match self.written_event(key) {
            Some(event) if GIVE.contains(&event) => _ = self.learn(data),
            Some(LOGOUT) => {
                self.login.kept = None;
                self.login.logged_out = true;
                self.outputs.push_back(Output::LoggedOut);
            }
            _ => {}
        }
    }

    fn learn(&mut self, data: &str) -> bool {
        #[derive(Deserialize)]
        struct Answer<'a> {
            token: Token,
            #[serde(borrow)]
            user: &'a RawValue,
        }
        let Ok(Answer { token, user }) = serde_json::from_str(data) else { return false };
        self.login.kept = Some(Kept { token: token.clone(), from: self.dialect() });
        self.login.logged_out = false;
        self.outputs.push_back(Output::LoggedIn { token, user: user.get().into() });
        true
    }

    /// The server says that the connection's session is over.
    pub(super) fn session_ended(&mut self, frame: &Frame<'_>) -> Result<(), BadFrame> {
        #[derive(Deserialize)]
        struct Ended {
            ended: String,
        }
        let Ended { ended } = serde_json::from_str(frame.data)
            .map_err(|error| BadFrame::OutOfPlace(format!("an end of the session that cannot be read: {error}")))?;
        // It is what was asked for, and the answer will say the rest.
        let is_ours = self.login.logged_out
            || self.written.values().any(|key| matches!(self.written_event(*key), Some(LOGOUT | SET_NEW)));
        if !is_ours {
            self.login.kept = None;
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

/// Whether the server says that there is no such session, and not merely that it could not look. A classic server has
/// no codes.
fn has_expired(failure: &Failure) -> bool {
    failure.code == Code::NOT_AUTHENTICATED || failure.error == SESSION_EXPIRED
}
