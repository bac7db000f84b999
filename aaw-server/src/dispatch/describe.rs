//! `aaw/describe`: tells a caller which events it may call, and what they take and return.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use aaw_protocol::{Code, Failure};
use serde::Deserialize;

use super::guards;
use crate::auth::{BuiltInFuture, IdentifiedCaller, SessionGuard};
use crate::registry::Registry;

/// The name of the event.
pub(super) const NAME: &str = "aaw/describe";

/// The body of a call. Unknown fields are ignored, as everywhere.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    /// Only this event.
    event: Option<String>,
}

/// Begins a call. An event is described to those who may call it: a protected one to callers whose session authorizes them,
/// which `is_authorized` decides, and a guarded one to callers that its guards let pass, which run for that, for `timeout` at
/// most each.
pub(super) fn begin<C: IdentifiedCaller>(
    registry: Arc<Registry>,
    is_authorized: impl Fn(&str, Option<&SessionGuard>) -> bool,
    timeout: Duration,
    body: &str,
    caller: &Arc<C>,
) -> BuiltInFuture {
    // Calls of events that are not protected carry no session.
    let session = caller.context().session.current();
    // `null` and no body at all stand for an empty one.
    let body = serde_json::from_str::<Option<Body>>(if body.is_empty() { "null" } else { body });
    let only = |event: &Option<String>, name: &str| event.as_deref().is_none_or(|only| only == name);
    let body = body.map(Option::unwrap_or_default);
    let visible = registry.events().filter(|event| {
        body.as_ref().is_ok_and(|body| only(&body.event, event.name.as_str()))
            && (!event.protected || is_authorized(event.name.as_str(), session.as_deref()))
    });
    let visible: Vec<_> = visible.map(|event| event.name.clone()).collect();
    let (identity, caller) = (session.map(|session| session.identity_json()), Arc::clone(caller));
    Box::pin(async move {
        let body = body.map_err(|error| Failure::new(Code::BAD_BODY, format!("The body does not fit: {error}")))?;
        let mut passed = HashSet::new();
        for name in visible {
            let Some(event) = registry.get(name.as_str()) else { continue };
            if event.guards.is_empty() || guards::would_pass(event, identity.clone(), &caller, timeout).await {
                passed.insert(name);
            }
        }
        if let Some(name) = body.event
            && passed.is_empty()
        {
            return Err(registry.unknown_event(&name));
        }
        Ok(registry.contract.describe(|name| passed.contains(name)))
    })
}
