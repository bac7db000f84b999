//! `/events/NAME`: calls an event, and responds in the format that the client prefers.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use aaw_event::host::HandlerKind;
use aaw_protocol::server::ResponseMode;
use aaw_protocol::{Code, Failure, codec, is_protected};
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;

use super::caller::{identify, user_id};
use super::error::HttpError;
use super::items::ItemsBody;
use super::negotiate::{Accept, BodyFormat, NOT_ACCEPTABLE};
use super::page_check;
use super::rate;
use super::request::{self, Query};
use super::response::{json_response, response_as};
use super::run::{CallStep, HttpCall, not_json};
use super::sse;
use super::state::AppState;
use crate::auth::IdentifiedCaller as _;
use crate::client_network::ClientNetwork;
use crate::hub::EventCaller;
use crate::memory_budget::ConnectionBudget;
use crate::net::context::ServerContext;
use crate::net::counted_bytes::counted;
use crate::net::http_connection::RequestGuard;
use crate::net::shutdown_phase::ShutdownPhase;

/// The path of events, before their names.
pub(super) const PATH: &str = "/events/";

/// Handles a request for an event.
pub(super) async fn call(State(state): State<Arc<AppState>>, request: Request) -> Response {
    call_event(&state, request).await
}

/// As [`call`], for a request that has not passed the router.
pub(super) async fn call_event(state: &Arc<AppState>, request: Request) -> Response {
    respond(state, request).await.unwrap_or_else(HttpError::into_response)
}

async fn respond(state: &Arc<AppState>, request: Request) -> Result<Response, HttpError> {
    let (mut parts, body) = request.into_parts();
    let (headers, shared) = (&parts.headers, &*state.shared);
    if shared.shutdown.has_reached(ShutdownPhase::Draining) {
        return Err(HttpError::refused_stopping());
    }
    let name = request::event_name(parts.uri.path().strip_prefix(PATH).unwrap_or_default())?;
    let (kind, allows_get, cost) = match shared.dispatch.registry.load().get(&name) {
        Some(event) => (Some(event.kind), event.allows_get(), event.cost()),
        None => (None, false, 1),
    };
    let guard = parts.extensions.get::<Arc<RequestGuard>>().map(|guard| &**guard);
    rate::begin(guard, cost).await?;
    let is_head = parts.method == Method::HEAD;
    let is_read = is_head || parts.method == Method::GET;
    if is_read {
        check_kind(kind, || shared.dispatch.registry.load().unknown_event(&name))?;
    } else if parts.method != Method::POST {
        let allowed = if kind == Some(HandlerKind::Streaming) { "GET, HEAD, POST" } else { "POST" };
        let error = "Expected the method POST. Streaming events can also be read with GET";
        return Err(HttpError::method_not_allowed(allowed, error));
    }
    page_check::check_foreign(headers)?;
    let query = Query::parse(parts.uri.query())?;
    // A cursor is a secret that only those know who have read the stream before, and starts nothing.
    if is_read && !allows_get && query.poll.is_none_or(|poll| poll.cursor.is_none()) {
        page_check::check_get(headers)?;
    }
    let Some(format) = Accept::from_headers(headers).preferred_format() else {
        let code = Code::new("not_acceptable");
        return Err(HttpError::new(StatusCode::NOT_ACCEPTABLE, code, NOT_ACCEPTABLE));
    };
    if kind == Some(HandlerKind::Streaming) && headers.get("last-event-id").is_some_and(|id| id == sse::END) {
        // An `EventSource` that reconnects after the end of the stream. 204 keeps it from reconnecting again.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let address = guard.and_then(|guard| guard.client().address).map(|address| address.ip());
    let memory = guard.map_or_else(|| shared.hub.memory_budget(address), |guard| Arc::clone(guard.memory()));
    let (max_body, body_timeout) = (shared.dispatch.max_response, shared.config.load().http.body_timeout);
    let (mut request_body, held) =
        request::read_body(parts.version, headers, body, max_body, body_timeout, &memory).await?;
    rate::count_body(guard, request_body.len()).await?;
    if is_read && !request_body.is_empty() {
        let error = format!("A {} request must not have a body; pass it in the query, as ?body=JSON", parts.method);
        return Err(HttpError::bad_request(error));
    }
    if query.poll.is_some_and(|poll| poll.cursor.is_some()) {
        // The stream that is continued has its own. It is not kept while this waits for items.
        request_body = String::new();
    }
    let body = if is_read { query.body.unwrap_or_default() } else { request_body };
    // A missing body is `null`, which handlers receive as an empty one.
    let body = if body.is_empty() { "null" } else { &body };
    let caller = identify(shared, guard, parts.version, &parts.uri, std::mem::take(&mut parts.headers)).await?;
    if !is_head && query.poll.is_none_or(|poll| poll.cursor.is_none()) {
        wait_while_held(shared, &caller).await?;
    }
    // From here on, the call counts the body.
    drop(held);
    if is_head {
        check_call(shared, &caller, &name, body)?;
        let format = if query.poll.is_some() { BodyFormat::Json } else { format };
        return Ok(stream_response(format, Body::from_stream(stream::empty::<Result<Bytes, Infallible>>())));
    }
    let user = user_id(&caller);
    let begin = |memory: &_, mode| HttpCall::begin(shared, &caller, memory, &name, body, mode);
    if let Some(poll) = query.poll {
        // A stream can only be continued by the user that began it. The length keeps one user's id and event from
        // reading like another's.
        let user = user.unwrap_or_default();
        let event_of_user = format!("{}:{user} {name}", user.len());
        let peer = address.map(ClientNetwork::from);
        let begin = |memory: &_| begin(memory, ResponseMode::Items);
        return state.polling.respond(&event_of_user, peer, poll, &memory, begin).await;
    }
    match format {
        BodyFormat::Lines | BodyFormat::Events if kind != Some(HandlerKind::OneWay) => {
            respond_with_items(shared, begin(&memory, ResponseMode::Items)?, memory, format).await
        }
        // A one-way event has no result: it gets 204, whatever the format.
        _ => respond_with_whole(shared, begin(&memory, ResponseMode::Single)?, &memory).await,
    }
}

/// Waits while other requests or connections of the same client hold it up as a sender: the call does not begin.
async fn wait_while_held(shared: &ServerContext, caller: &EventCaller) -> Result<(), HttpError> {
    if !caller.is_held() {
        return Ok(());
    }
    tokio::select! {
        biased;
        () = poll_fn(|cx| caller.poll_held(cx)) => Ok(()),
        () = shared.shutdown.reached(ShutdownPhase::Aborting) => Err(HttpError::aborted_stopping()),
    }
}

/// Checks that the event can be called with GET or HEAD, which only streaming events can: browsers send GET requests for every
/// link and image of any page, which must not run other handlers.
fn check_kind(kind: Option<HandlerKind>, unknown_event: impl FnOnce() -> Failure) -> Result<(), HttpError> {
    match kind {
        None => Err(unknown_event().into()),
        Some(HandlerKind::Streaming) => Ok(()),
        Some(_) => {
            let error = "Only streaming events can be read with GET. Call this event with POST";
            Err(HttpError::method_not_allowed("POST", error))
        }
    }
}

/// Checks, for a HEAD request, what can be checked of a call without running its handler or a guard (RFC 9110, 9.3.2).
fn check_call(shared: &ServerContext, caller: &EventCaller, event: &str, body: &str) -> Result<(), HttpError> {
    if is_protected(event) {
        let session = caller.context().session.current();
        shared.dispatch.authorize(event, session.as_deref())?;
    }
    if !codec::is_json(body) {
        return Err(not_json().into());
    }
    Ok(())
}

/// Responds when the call is complete.
async fn respond_with_whole(
    shared: &ServerContext,
    mut call: HttpCall,
    memory: &Arc<ConnectionBudget>,
) -> Result<Response, HttpError> {
    let mut body = Vec::new();
    let step = tokio::select! {
        biased;
        step = poll_fn(|cx| call.poll(cx, &mut body)) => step,
        () = shared.shutdown.reached(ShutdownPhase::Aborting) => return Err(HttpError::aborted_stopping()),
    };
    match step {
        CallStep::Item => Ok(json_response(Body::from(counted(body, memory)))),
        CallStep::End => Ok(StatusCode::NO_CONTENT.into_response()),
        CallStep::Failed(failure) => Err(failure.into()),
    }
}

/// Responds with items as they are produced. The status waits for the first of them, except for server-sent events:
/// their reader learns at once that it is connected.
async fn respond_with_items(
    shared: &ServerContext,
    call: HttpCall,
    memory: Arc<ConnectionBudget>,
    format: BodyFormat,
) -> Result<Response, HttpError> {
    let abort_phase = if call.is_stream() { ShutdownPhase::EndingStreams } else { ShutdownPhase::Aborting };
    let aborting = shared.shutdown.reached(abort_phase);
    let keep_alive = shared.config.load().http.sse_keep_alive_interval;
    let mut items = ItemsBody::new(call, memory, format, keep_alive, aborting);
    let first = poll_fn(|cx| match items.poll_first(cx) {
        Poll::Pending if format == BodyFormat::Events => Poll::Ready(Ok(())),
        first => first,
    });
    tokio::select! {
        biased;
        first = first => first?,
        () = shared.shutdown.reached(abort_phase) => return Err(HttpError::aborted_stopping()),
    }
    Ok(stream_response(format, Body::new(items)))
}

/// A response that is sent as its items are produced, unless it is one array.
fn stream_response(format: BodyFormat, body: Body) -> Response {
    let mut response = response_as(format, body);
    if format != BodyFormat::Json {
        // Keeps nginx from buffering the items.
        response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    }
    response
}
