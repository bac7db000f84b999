//! The caller of an event over HTTP: a single request, with the session of its bearer token.

use std::sync::Arc;

use aaw_protocol::Code;
use axum::http::{HeaderMap, Uri, Version};

use super::error::HttpError;
use super::request;
use super::request_id::new_request_id;
use crate::auth::{CallContext, IdentifiedCaller, SessionSlot};
use crate::hub::EventCaller;
use crate::net::context::ServerContext;
use crate::net::http_connection::RequestGuard;

/// Returns the caller of a request. If the request carries a bearer token of this server, the token must be valid.
/// `guard` is missing in a program that has built the request itself.
pub(super) async fn identify(
    shared: &ServerContext,
    guard: Option<&RequestGuard>,
    version: Version,
    uri: &Uri,
    headers: HeaderMap,
) -> Result<Arc<EventCaller>, HttpError> {
    let address = guard.and_then(|guard| guard.client().address).map(|address| address.ip());
    // Otherwise the header is the events' own, in whatever form.
    let session = match shared.dispatch.auth.as_ref().filter(|auth| auth.has_bearer_tokens()) {
        Some(auth) => match request::bearer(&headers)? {
            Some(token) => Some(auth.bearer(token, address).await?),
            None => None,
        },
        None => None,
    };
    let session = SessionSlot::for_request(session);
    let handshake = guard.map_or(Ok(None), |guard| guard.keep_handshake(version, uri, headers));
    let handshake = handshake.map_err(|(status, error)| HttpError::new(status, Code::TOO_LARGE, error))?;
    let context = CallContext { id: new_request_id(), client_key: None, address, session, handshake };
    Ok(EventCaller::for_request(Arc::clone(&shared.host_services), context))
}

/// Returns the id of the caller's user; `None` without a session.
pub(super) fn user_id(caller: &EventCaller) -> Option<String> {
    let guard = caller.context().session.current()?;
    Some(guard.session().identity().id.clone())
}
