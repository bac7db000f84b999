//! The services of a handler in a test.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde_json::Value;

use super::caller::TestCaller;
use super::sent::SentMessage;
use crate::handles::CallerHandle;
use crate::sdk::{Handshake, Identity, Services};

/// The [`Services`] of a handler in a test, with the connection that they are for.
///
/// It derefs to the services. It is not `Clone` itself, so `services.clone()` makes the [`Services`] that a handler
/// takes; what the handler sends is then recorded here.
///
/// ```
/// use aaw_event::prelude::*;
/// use aaw_event::testing::{Recipient, SentMessage};
///
/// fn handler(name: String, services: Services) -> Result<()> {
///     services.ws.send_event("greeted", name)
/// }
///
/// let services = Services::for_test(());
/// handler("Ada".to_owned(), services.clone()).unwrap();
/// assert_eq!(services.sent(), [SentMessage::new(Recipient::Caller, "greeted", "Ada")]);
/// ```
pub struct TestServices<S = ()> {
    services: Services<S>,
    caller: Arc<TestCaller>,
}

impl<S> TestServices<S> {
    /// Returns the services that a handler takes. `clone()` on an owned `TestServices` does the same; on a reference it
    /// would copy the reference.
    #[must_use]
    pub fn services(&self) -> Services<S> {
        self.services.clone()
    }

    /// Sets the identity of the caller.
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
    /// assert_eq!(handler(Empty, services.clone()).await, Some(ada));
    /// # }
    /// ```
    #[must_use]
    pub fn with_identity(self, identity: Identity) -> Self {
        self.caller.set_identity(identity);
        self
    }

    /// Sets the request that opened the connection. Without this, it is one for `/` without headers.
    ///
    /// ```
    /// use aaw_event::prelude::*;
    ///
    /// async fn handler(_: Empty, services: Services) -> Result<Option<String>> {
    ///     Ok(services.handshake()?.header("accept-language").map(str::to_owned))
    /// }
    ///
    /// # async fn example() {
    /// let handshake = Handshake::new("/").with_header("accept-language", "eo");
    /// let services = Services::for_test(()).with_handshake(handshake);
    /// assert_eq!(handler(Empty, services.clone()).await.unwrap().as_deref(), Some("eo"));
    /// # }
    /// ```
    #[must_use]
    pub fn with_handshake(self, handshake: Handshake) -> Self {
        self.caller.set_handshake(handshake);
        self
    }

    /// Sets the client's response to client calls of `event`. A client call of any other event fails with
    /// `unknown_event`.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use aaw_event::prelude::*;
    ///
    /// async fn handler(_: Empty, services: Services) -> Result<bool> {
    ///     services.ws.send_async("confirm", "Delete it?", Duration::from_secs(30)).await
    /// }
    ///
    /// # async fn example() {
    /// let services = Services::for_test(()).with_response("confirm", true);
    /// assert!(handler(Empty, services.clone()).await.unwrap());
    /// # }
    /// ```
    #[must_use]
    pub fn with_response(self, event: impl Into<String>, response: impl Into<Value>) -> Self {
        self.caller.set_response(event.into(), response.into());
        self
    }

    /// The messages that were sent so far, in order: pushes, broadcasts, messages to rooms, and client calls.
    pub fn sent(&self) -> Vec<SentMessage> {
        self.caller.sent()
    }
}

impl<S> Services<S> {
    /// Makes services without a server, to call a handler from a test; see [`testing`](crate::testing).
    ///
    /// ```
    /// use aaw_event::prelude::*;
    ///
    /// async fn handler(_: Empty, services: Services) -> String {
    ///     services.ws.id()
    /// }
    ///
    /// # async fn example() {
    /// let services = Services::for_test(());
    /// assert_eq!(handler(Empty, services.clone()).await, "test");
    /// # }
    /// ```
    pub fn for_test(app: S) -> TestServices<S> {
        let caller = Arc::new(TestCaller::default());
        TestServices { services: Self::new(CallerHandle::new(&caller), Arc::new(app)), caller }
    }
}

impl<S> Deref for TestServices<S> {
    type Target = Services<S>;

    fn deref(&self) -> &Services<S> {
        &self.services
    }
}

impl<S> fmt::Debug for TestServices<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestServices").field("sent", &self.sent()).finish_non_exhaustive()
    }
}
