//! Being known to the server: log in, stay so across connections, log out.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aaw_protocol::{Identity, Token};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{CallError, Client};

/// Is told of each token that the client keeps from now on, and with `None` that it has forgotten it: what puts it where
/// the program finds it when it starts again. A token is as good as a password until it expires.
///
/// ```
/// use aaw_client::{Config, OnToken};
///
/// let on_token = OnToken::new(|token| match token {
///     Some(token) => println!("keep {} characters", token.as_str().len()),
///     None => println!("forget it"),
/// });
/// let config = Config { on_token: Some(on_token), ..Config::default() };
/// ```
#[derive(Clone)]
pub struct OnToken(Arc<Hook>);

type Hook = dyn Fn(Option<&Token>) + Send + Sync;

impl OnToken {
    /// Calls this, from the client's own task: it should not take long. A panic in it is logged.
    pub fn new(hook: impl Fn(Option<&Token>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    fn call(&self, token: Option<&Token>) {
        if catch_unwind(AssertUnwindSafe(|| (self.0)(token))).is_err() {
            tracing::error!("the hook for tokens panicked");
        }
    }
}

impl fmt::Debug for OnToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnToken(…)")
    }
}

/// What the client knows of its login.
#[derive(Debug)]
pub(crate) struct Login {
    known: Mutex<Known>,
    hook: Option<OnToken>,
}

#[derive(Debug)]
struct Known {
    token: Option<Token>,
    identity: Option<Identity>,
}

impl Login {
    pub(crate) fn new(token: Option<Token>, hook: Option<OnToken>) -> Self {
        Self { known: Mutex::new(Known { token, identity: None }), hook }
    }

    /// The server knows this client as the user, whose JSON this is.
    pub(crate) fn enter(&self, token: Token, user: &str) {
        let identity = serde_json::from_str(user)
            .inspect_err(|error| tracing::warn!("the server's idea of a user cannot be read: {error}"))
            .ok();
        let mut known = self.lock();
        let is_new = known.token.as_ref() != Some(&token);
        *known = Known { token: Some(token.clone()), identity };
        drop(known);
        if is_new && let Some(hook) = &self.hook {
            hook.call(Some(&token));
        }
    }

    pub(crate) fn leave(&self) {
        *self.lock() = Known { token: None, identity: None };
        if let Some(hook) = &self.hook {
            hook.call(None);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // No user code runs with the lock held.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    /// Logs in, by the server's `aaw/login`. From here on the client keeps the session's token, in memory and wherever
    /// [`on_token`](crate::Config::on_token) puts it, and shows it to the server on each new connection, before the
    /// connection counts as open and before any other call goes out. So calls of protected events need nothing further.
    ///
    /// Any successful answer with a token is kept, however its call was made: `aaw/register` and
    /// `aaw/password/set-new`, say, by [`send_async`](Self::send_async).
    ///
    /// ```no_run
    /// # async fn run(client: aaw_client::Client) -> Result<(), aaw_client::CallError> {
    /// let who = client.login("ada@example.org", "correct horse").await?;
    /// println!("logged in as {}", who.email);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// It may take [`auth_timeout`](crate::Config::auth_timeout).
    ///
    /// # Errors
    /// [`CallError::Failed`] with the server's words, `Invalid credentials`, say; or as any call.
    pub async fn login(&self, email: &str, password: &str) -> Result<Identity, CallError> {
        self.enter("aaw/login", json!({ "email": email, "password": password })).await
    }

    /// Makes an account and logs in, by the server's `aaw/register`. Otherwise as [`login`](Self::login).
    ///
    /// # Errors
    /// As [`login`](Self::login): `Email already registered`, say.
    pub async fn register(&self, email: &str, password: &str) -> Result<Identity, CallError> {
        self.enter("aaw/register", json!({ "email": email, "password": password })).await
    }

    /// Goes on with a session whose token was kept somewhere, by the server's `aaw/resume`. A program that has the token
    /// when it starts puts it into [`Config::token`](crate::Config::token) instead. Otherwise as
    /// [`login`](Self::login).
    ///
    /// # Errors
    /// As [`login`](Self::login): `Session expired`, say. What the client knew before stays then.
    pub async fn resume(&self, token: &str) -> Result<Identity, CallError> {
        self.enter("aaw/resume", json!({ "token": token })).await
    }

    async fn enter(&self, event: &str, body: Value) -> Result<Identity, CallError> {
        #[derive(Deserialize)]
        struct Answer {
            user: Identity,
        }
        // The driver has kept the token by now.
        let Answer { user } = self.send_async(event, body, self.auth_timeout).await?;
        Ok(user)
    }

    /// Ends the session, everywhere, by the server's `aaw/logout`; the token is forgotten.
    ///
    /// # Errors
    /// As any call. The token is kept then: the session goes on.
    pub async fn logout(&self) -> Result<(), CallError> {
        let _: Value = self.send_async("aaw/logout", json!({}), self.auth_timeout).await?;
        Ok(())
    }

    /// Whom the server takes this client for, as of its last word on it. `None` before the first, after
    /// [`logout`](Self::logout), and after [`ConnectionEvent::Unauthorized`](crate::ConnectionEvent::Unauthorized). It stays while there is
    /// no connection.
    pub fn identity(&self) -> Option<Identity> {
        self.login.lock().identity.clone()
    }

    /// The token that is kept, for programs that put it away themselves. It is as good as a password until it expires.
    pub fn token(&self) -> Option<Token> {
        self.login.lock().token.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_what_the_server_says() {
        let identity: Identity = serde_json::from_str(r#"{"id":7,"email":"a@b.c"}"#).unwrap();
        assert_eq!((identity.id.as_str(), identity.email.as_str(), identity.allowed), ("7", "a@b.c", None));
        let identity: Identity =
            serde_json::from_str(r#"{"id":"x","email":"a@b.c","allowed":["auth/*"],"name":"new"}"#).unwrap();
        assert_eq!((identity.id.as_str(), identity.allowed), ("x", Some(vec!["auth/*".to_owned()])));
        assert!(serde_json::from_str::<Identity>(r#"{"id":null,"email":"a@b.c"}"#).is_err());
    }

    #[test]
    fn the_hook_hears_what_is_new_and_its_panic_is_contained() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let told = heard.clone();
        let hook = OnToken::new(move |token| {
            told.lock().unwrap().push(token.map(|token| token.as_str().to_owned()));
            assert!(token.is_some(), "a test's panic");
        });
        let login = Login::new(Some(Token::new("t1")), Some(hook));
        for token in ["t1", "t2", "t2"] {
            login.enter(Token::new(token), r#"{"id":1,"email":"a@b.c"}"#);
        }
        login.leave();
        assert_eq!(*heard.lock().unwrap(), [Some("t2".to_owned()), None]);
        assert!(login.lock().identity.is_none() && login.lock().token.is_none());
    }

    #[test]
    fn no_debug_shows_a_token() {
        let login = Login::new(Some(Token::new("secret")), None);
        assert!(!format!("{login:?}").contains("secret"), "{login:?}");
    }
}
