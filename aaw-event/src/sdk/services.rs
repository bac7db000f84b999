//! A handler's second argument.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::Serialize;

use super::error::Result;
use super::handshake::Handshake;
use super::host_ops::{NoArgs, host_op, host_op_async, parse_result};
use super::identity::{Identity, LoggedIn};
use super::response_future::ResponseFuture;
use super::room::Room;
use super::ws::Ws;
use crate::handles::CallerHandle;

/// The services of a handler: those that the package has built, and the connection that the call came from.
///
/// `Services<App>` derefs to the `App` that the package's `_services.rs` builds, once, when the package starts. A
/// handler that needs none of it takes `Services`. Cloning costs three reference counts. A clone may be kept after the
/// call has ended, and moved into a task.
///
/// ```
/// use aaw_event::prelude::*;
///
/// // src/_services.rs
/// pub struct App {
///     greeting: String,
/// }
///
/// pub fn services() -> App {
///     App { greeting: "Hello".to_owned() }
/// }
///
/// // src/greet.rs
/// pub async fn handler(name: String, services: Services<App>) -> String {
///     services.ws.broadcast(&name, false);
///     format!("{}, {name}", services.greeting)
/// }
/// ```
///
/// A test makes them with [`Services::for_test`].
pub struct Services<S = ()> {
    /// The connection that the call came from.
    pub ws: Ws,
    /// The server's rooms, for this connection.
    pub room: Room,
    app: Arc<S>,
}

impl<S> Services<S> {
    pub(crate) fn new(caller: CallerHandle, app: Arc<S>) -> Self {
        Self { ws: Ws::new(caller.clone()), room: Room::new(caller), app }
    }

    /// The identity of the caller: that of the connection's current session, or of the HTTP request's. `None` without a
    /// session, and where authentication is disabled.
    pub fn identity(&self) -> Option<Identity> {
        host_op(self.ws.caller(), "identity", &NoArgs {}).unwrap_or_else(|error| {
            tracing::debug!("no identity: {error:#}");
            None
        })
    }

    /// The HTTP request that opened the caller's connection; for a call over HTTP, that request.
    ///
    /// A connection that is resumed over another socket keeps its first handshake, which `_open` has seen. That of the new
    /// socket is [`OpenInfo::handshake`](crate::OpenInfo::handshake) in `_resume`.
    ///
    /// The server keeps handshakes only for packages that read them: the build script looks for the word `handshake` in
    /// the code below `src/`. If only another crate's code calls this function, name it in one of the files, as in
    /// `use aaw_event::Handshake as _;`.
    ///
    /// # Errors
    /// `unreachable`, when the server has not kept the handshake: it is older than this function; or the connection was
    /// opened before a reload, after which the events read it for the first time.
    ///
    /// ```
    /// use aaw_event::prelude::*;
    ///
    /// // src/locale.rs
    /// pub async fn handler(_: Empty, services: Services) -> Result<String> {
    ///     Ok(services.handshake()?.header("accept-language").unwrap_or("en").to_owned())
    /// }
    /// ```
    pub fn handshake(&self) -> Result<Handshake> {
        host_op(self.ws.caller(), "handshake", &NoArgs {})
    }

    /// Starts a session for `user` and binds it to this connection: for a handler that authenticates its caller in a
    /// way of its own. The handler must have verified the caller; this function checks nothing.
    ///
    /// The handler should return the result unchanged: clients store the token, and resume the session with it after a
    /// reconnect.
    ///
    /// A session that `_open` starts belongs to the connection: it is stored nowhere, its token resumes nothing, and it
    /// ends with the connection, whose next socket keeps it if the connection is resumed. The same holds for every session
    /// of a server whose store offers no sessions of this kind, such as `aaw-server --own-log-ins`.
    ///
    /// # Errors
    /// `unreachable`, when authentication is disabled; `no_connection`, when the connection has closed, and for a call
    /// over HTTP; or an error of the session store.
    ///
    /// ```
    /// use aaw_event::prelude::*;
    /// use aaw_event::{Identity, LoggedIn};
    ///
    /// // src/badge.rs
    /// pub async fn handler(number: u64, services: Services) -> Result<LoggedIn> {
    ///     if number != 17 {
    ///         return Err(Error::new("Unknown badge").with_code("not_authenticated"));
    ///     }
    ///     services.authenticate(Identity::new("17", "ada@example.org")).await
    /// }
    /// ```
    pub fn authenticate(&self, user: Identity) -> ResponseFuture<LoggedIn> {
        host_op_async(self.ws.caller(), "authenticate", &AuthenticateArgs { user: &user }, parse_result)
    }

    /// Ends the session of this connection, on every connection that uses it. Without a session it has no effect.
    ///
    /// # Errors
    /// `unreachable`, when authentication is disabled; or an error of the session store.
    pub fn logout(&self) -> ResponseFuture<()> {
        host_op_async(self.ws.caller(), "logout", &NoArgs {}, |_| Ok(()))
    }
}

#[derive(Serialize)]
struct AuthenticateArgs<'a> {
    user: &'a Identity,
}

impl<S> Clone for Services<S> {
    fn clone(&self) -> Self {
        Self { ws: self.ws.clone(), room: self.room.clone(), app: self.app.clone() }
    }
}

impl<S> Deref for Services<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.app
    }
}

impl<S> fmt::Debug for Services<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").field("ws", &self.ws).finish_non_exhaustive()
    }
}
