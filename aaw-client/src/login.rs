//! The methods of `Client` that log in, resume a session, and log out.

use aaw_protocol::{Identity, Token};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{CallError, Client};

impl Client {
    /// Logs in, by calling the server's event `aaw/login`.
    ///
    /// From then on the client keeps the token of the session, in memory and by
    /// [`Config::on_token`](crate::Config::on_token), and sends it on each new connection before other calls. Protected
    /// events can be called as any other.
    ///
    /// A successful response of `aaw/register` or `aaw/password/set-new` that was called by
    /// [`send_async`](Self::send_async) logs in as well.
    ///
    /// ```no_run
    /// # async fn run(client: aaw_client::Client) -> Result<(), aaw_client::CallError> {
    /// let identity = client.login("ada@example.org", "correct horse").await?;
    /// println!("logged in as {}", identity.email);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The timeout is [`Config::auth_timeout`](crate::Config::auth_timeout), 10 s by default.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call, as with [`send_async`](Self::send_async). The server may have begun the
    /// session by then.
    ///
    /// # Errors
    ///
    /// [`CallError::Failed`] if the server refuses, for example with `Invalid credentials`; the other variants as for
    /// any call.
    pub async fn login(&self, email: &str, password: &str) -> Result<Identity, CallError> {
        self.begin_session("aaw/login", json!({ "email": email, "password": password })).await
    }

    /// Creates an account and logs in, by calling the server's event `aaw/register`. Otherwise as
    /// [`login`](Self::login).
    ///
    /// # Errors
    ///
    /// As [`login`](Self::login), for example [`CallError::Failed`] with `Email already registered`.
    pub async fn register(&self, email: &str, password: &str) -> Result<Identity, CallError> {
        self.begin_session("aaw/register", json!({ "email": email, "password": password })).await
    }

    /// Resumes a session by its token, by calling the server's event `aaw/resume`. Otherwise as [`login`](Self::login).
    ///
    /// A program that has the token when it starts sets [`Config::token`](crate::Config::token) instead.
    ///
    /// # Errors
    ///
    /// As [`login`](Self::login), for example [`CallError::Failed`] with `Session expired`. The client then keeps the
    /// session that it had.
    pub async fn resume(&self, token: &str) -> Result<Identity, CallError> {
        self.begin_session("aaw/resume", json!({ "token": token })).await
    }

    async fn begin_session(&self, event: &str, body: Value) -> Result<Identity, CallError> {
        #[derive(Deserialize)]
        struct LoginResponse {
            user: Identity,
        }
        // The driver stores the token before it completes the call.
        let LoginResponse { user } = self.send_async(event, body, self.auth_timeout()).await?;
        Ok(user)
    }

    /// Ends the session on all connections, by calling the server's event `aaw/logout`. The client then forgets the
    /// token.
    ///
    /// The timeout is [`Config::auth_timeout`](crate::Config::auth_timeout), 10 s by default.
    ///
    /// # Errors
    ///
    /// [`CallError`], as for any call. The client then keeps the token.
    pub async fn logout(&self) -> Result<(), CallError> {
        let _: Value = self.send_async("aaw/logout", json!({}), self.auth_timeout()).await?;
        Ok(())
    }

    /// The identity that the server has last sent for this session.
    ///
    /// `None` before the first login or resumption, after [`logout`](Self::logout), and after
    /// [`ConnectionEvent::Unauthorized`](crate::ConnectionEvent::Unauthorized). It is kept while there is no
    /// connection.
    pub fn identity(&self) -> Option<Identity> {
        self.session().identity()
    }

    /// The token of the session, for programs that store it themselves. Treat it as a password until it expires.
    pub fn token(&self) -> Option<Token> {
        self.session().token()
    }
}
