//! The session of a client: its token, and the identity behind it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use aaw_protocol::{Identity, Token};

use crate::sync::lock;

/// A callback that persists the token of the session: it is called with each new token, and with `None` when the client
/// forgets its token.
///
/// A token is a bearer secret: treat it as a password until it expires.
///
/// ```
/// use aaw_client::{Config, OnToken};
///
/// let on_token = OnToken::new(|token| match token {
///     Some(token) => println!("store {} characters", token.as_str().len()),
///     None => println!("delete the stored token"),
/// });
/// let config = Config { on_token: Some(on_token), ..Config::default() };
/// ```
#[derive(Clone)]
pub struct OnToken(Arc<TokenCallback>);

type TokenCallback = dyn Fn(Option<&Token>) + Send + Sync;

impl OnToken {
    /// Wraps a callback. It runs in the client's own task and delays it, so it should return soon. A panic in it is
    /// caught and logged.
    pub fn new(callback: impl Fn(Option<&Token>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(callback))
    }

    fn call(&self, token: Option<&Token>) {
        if catch_unwind(AssertUnwindSafe(|| (self.0)(token))).is_err() {
            tracing::error!("the on_token callback panicked");
        }
    }
}

impl fmt::Debug for OnToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnToken(…)")
    }
}

/// The session that the client has, if any. Written by the driver, read by the handles.
#[derive(Debug)]
pub(crate) struct ClientSession {
    current: Mutex<CurrentSession>,
    on_token: Option<OnToken>,
}

#[derive(Debug)]
struct CurrentSession {
    token: Option<Token>,
    identity: Option<Identity>,
}

impl ClientSession {
    pub(crate) fn new(token: Option<Token>, on_token: Option<OnToken>) -> Self {
        Self { current: Mutex::new(CurrentSession { token, identity: None }), on_token }
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        lock(&self.current).identity.clone()
    }

    pub(crate) fn token(&self) -> Option<Token> {
        lock(&self.current).token.clone()
    }

    /// Stores the token of a session that the server has begun or resumed. `user` is the JSON of its identity.
    pub(crate) fn log_in(&self, token: Token, user: &str) {
        let identity = serde_json::from_str(user)
            .inspect_err(|error| tracing::warn!("the server sent an identity that cannot be read: {error}"))
            .ok();
        let mut current = lock(&self.current);
        let is_new = current.token.as_ref() != Some(&token);
        *current = CurrentSession { token: Some(token.clone()), identity };
        drop(current);
        if is_new && let Some(on_token) = &self.on_token {
            on_token.call(Some(&token));
        }
    }

    /// Forgets the session.
    pub(crate) fn log_out(&self) {
        *lock(&self.current) = CurrentSession { token: None, identity: None };
        if let Some(on_token) = &self.on_token {
            on_token.call(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_with_a_numeric_id_and_unknown_fields() {
        let identity: Identity = serde_json::from_str(r#"{"id":7,"email":"a@b.c"}"#).unwrap();
        assert_eq!((identity.id.as_str(), identity.email.as_str(), identity.allowed), ("7", "a@b.c", None));
        let identity: Identity =
            serde_json::from_str(r#"{"id":"x","email":"a@b.c","allowed":["auth/*"],"name":"new"}"#).unwrap();
        assert_eq!((identity.id.as_str(), identity.allowed), ("x", Some(vec!["auth/*".to_owned()])));
        assert!(serde_json::from_str::<Identity>(r#"{"id":null,"email":"a@b.c"}"#).is_err());
    }

    #[test]
    fn on_token_is_called_for_new_tokens_only_and_its_panic_is_caught() {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let record = calls.clone();
        let on_token = OnToken::new(move |token| {
            record.lock().unwrap().push(token.map(|token| token.as_str().to_owned()));
            assert!(token.is_some(), "a panic for the test");
        });
        let session = ClientSession::new(Some(Token::new("t1")), Some(on_token));
        for token in ["t1", "t2", "t2"] {
            session.log_in(Token::new(token), r#"{"id":1,"email":"a@b.c"}"#);
        }
        session.log_out();
        assert_eq!(*calls.lock().unwrap(), [Some("t2".to_owned()), None]);
        assert!(session.identity().is_none() && session.token().is_none());
    }

    #[test]
    fn debug_does_not_show_the_token() {
        let session = ClientSession::new(Some(Token::new("secret")), None);
        assert!(!format!("{session:?}").contains("secret"), "{session:?}");
    }
}
