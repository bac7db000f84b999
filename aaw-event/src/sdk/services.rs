//! A handler's second argument.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::error::Error;
use super::identity::{Identity, LoggedIn};
use super::response_future::ResponseFuture;
use super::room::Room;
use super::side::{Side, Stage, read};
use super::ws::Ws;
use crate::module::OwnedCaller;

/// What a handler works with: the package's own services, and the connection that calls.
///
/// `Services<App>` derefs to the `App` that the package's `_services.rs` builds, once, when the package starts; a
/// handler that needs none of it takes `Services`. Cloning costs three reference counts. A clone may be kept after the
/// call has ended, and be moved into a task.
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
pub struct Services<S = ()> {
    /// The connection that the call came from.
    pub ws: Ws,
    /// The server's rooms, for this connection.
    pub room: Room,
    app: Arc<S>,
}

impl<S> Services<S> {
    pub(crate) fn of(caller: OwnedCaller, app: Arc<S>) -> Self {
        Self::new(Side::Host(caller), app)
    }

    fn new(to: Side, app: Arc<S>) -> Self {
        Self { ws: Ws::of(to.clone()), room: Room::of(to), app }
    }

    /// Services without a server, to call a handler from a test. What the handler sends is kept: see [`Ws::sent`].
    ///
    /// ```
    /// use aaw_event::prelude::*;
    /// use aaw_event::{Sent, To};
    ///
    /// fn handler(body: Value, services: Services) {
    ///     services.ws.broadcast(body, false);
    /// }
    ///
    /// let services = Services::for_test(());
    /// handler(json!("happy birthday"), services.clone());
    /// assert_eq!(services.ws.sent(), [Sent::new(To::Others, "broadcast", "happy birthday")]);
    /// ```
    pub fn for_test(app: S) -> Self {
        Self::new(Side::Test(Arc::<Stage>::default()), Arc::new(app))
    }

    /// Who calls in a test. On a server it changes nothing.
    ///
    /// ```
    /// use aaw_event::Identity;
    /// use aaw_event::prelude::*;
    ///
    /// async fn handler(_: Empty, services: Services) -> Option<Identity> {
    ///     services.identity()
    /// }
    ///
    /// # async fn example() {
    /// let ada = Identity::new("1", "ada@example.org");
    /// let services = Services::for_test(()).with_identity(ada.clone());
    /// assert_eq!(handler(Empty, services).await, Some(ada));
    /// # }
    /// ```
    #[must_use]
    pub fn with_identity(self, identity: Identity) -> Self {
        if let Side::Test(stage) = self.ws.side() {
            stage.acts().identity = Some(identity);
        }
        self
    }

    /// What the client answers in a test when it is asked `event`; whatever else it is asked, it knows no such event. On a
    /// server it changes nothing.
    #[must_use]
    pub fn with_response(self, event: impl Into<String>, answer: impl Into<Value>) -> Self {
        if let Side::Test(stage) = self.ws.side() {
            stage.acts().answers.insert(event.into(), answer.into());
        }
        self
    }

    /// Who calls: the identity of the connection's session by now, or of the request. `None` without a session, and where
    /// authentication is off.
    pub fn identity(&self) -> Option<Identity> {
        match self.ws.side() {
            Side::Host(caller) => Side::host_op(caller, "identity", &Nothing {}).unwrap_or_else(|error| {
                tracing::debug!("no identity: {error:#}");
                None
            }),
            Side::Test(stage) => stage.acts().identity.clone(),
        }
    }

    /// Begins a session of `user` and binds it to this connection: for a handler that finds out by itself who somebody
    /// is. Whoever calls has shown who they are by then; nothing is checked here.
    ///
    /// Answer what it gives as it is: clients keep the token, and resume the session by it after a reconnect.
    ///
    /// # Errors
    /// When authentication is off (`unreachable`), there is no connection (`no_connection`), or the store fails.
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
        match self.ws.side() {
            Side::Host(caller) => Side::host_op_async(caller, "authenticate", &ByUser { user: &user }, read),
            Side::Test(stage) => {
                stage.acts().identity = Some(user.clone());
                let logged_in = serde_json::json!({ "token": "test", "user": user });
                ResponseFuture::done(serde_json::to_vec(&logged_in).map_err(Error::from), read)
            }
        }
    }

    /// Ends the session of this connection, wherever it is in use. Without one nothing happens.
    ///
    /// # Errors
    /// When authentication is off (`unreachable`), or the store fails.
    pub fn logout(&self) -> ResponseFuture<()> {
        match self.ws.side() {
            Side::Host(caller) => Side::host_op_async(caller, "logout", &Nothing {}, |_| Ok(())),
            Side::Test(stage) => {
                stage.acts().identity = None;
                ResponseFuture::done(Ok(Vec::new()), |_| Ok(()))
            }
        }
    }
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct ByUser<'a> {
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
