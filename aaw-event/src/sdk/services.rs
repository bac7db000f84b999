//! A handler's second argument.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::ws::Ws;

/// What a handler works with: the package's own services, and the connection that calls.
///
/// `Services<App>` derefs to the `App` that the package's `_services.rs` builds, once, when the package starts; a
/// handler that needs none of it takes `Services`. Cloning costs two reference counts. A clone may be kept after the
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
    app: Arc<S>,
}

impl<S> Services<S> {
    pub(crate) fn new(ws: Ws, app: Arc<S>) -> Self {
        Self { ws, app }
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
        Self::new(Ws::for_test(), Arc::new(app))
    }
}

impl<S> Clone for Services<S> {
    fn clone(&self) -> Self {
        Self { ws: self.ws.clone(), app: self.app.clone() }
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
