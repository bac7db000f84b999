//! The caller of an event over HTTP: a single request, with the session of its bearer token.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::HeaderMap;

use super::error::HttpError;
use super::request;
use super::request_id::new_request_id;
use crate::auth::{CallContext, IdentifiedCaller, SessionSlot};
use crate::hub::EventCaller;
use crate::net::context::ServerContext;

/// Returns the caller of a request. If the request carries a bearer token and authentication is enabled, the token must
/// be valid.
pub(super) async fn identify(
    shared: &ServerContext,
    address: Option<IpAddr>,
    headers: &HeaderMap,
) -> Result<Arc<EventCaller>, HttpError> {
    let guard = match (&shared.dispatch.auth, request::bearer(headers)?) {
        (Some(auth), Some(token)) => Some(auth.bearer(token).await?),
        _ => None,
    };
    let session = SessionSlot::for_request(guard);
    let context = CallContext { id: new_request_id(), client_key: None, address, session };
    Ok(EventCaller::for_request(Arc::clone(&shared.host_services), context))
}

/// Returns the id of the caller's user; `None` without a session.
pub(super) fn user_id(caller: &EventCaller) -> Option<String> {
    let guard = caller.context().session.current()?;
    Some(guard.session().identity().id.clone())
}
