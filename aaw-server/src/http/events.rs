//! `/events/NAME`: a call of an event, answered in the form that the client asks for.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use aaw_event::host::HandlerKind;
use aaw_protocol::{Code, Failure};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::failed::Failed;
use super::items::Items;
use super::negotiate::{self, Form};
use super::request::{self, Query};
use super::run::{Requester, Run, Step};
use super::site::Site;
use super::sse;
use crate::dispatch::Shape;
use crate::net::context::ServerContext;
use crate::net::handshake::Serving;
use crate::net::shutdown::Phase;

/// Where events are.
pub(super) const PATH: &str = "/events/";

/// Answers a request for an event.
pub(super) async fn call(State(site): State<Arc<Site>>, request: Request) -> Response {
    answer(&site, request).await.unwrap_or_else(Failed::into_response)
}

async fn answer(site: &Arc<Site>, request: Request) -> Result<Response, Failed> {
    let (parts, body) = request.into_parts();
    let (headers, shared) = (&parts.headers, &*site.shared);
    if shared.shutdown.has_reached(Phase::Draining) {
        return Err(Failed::stopping());
    }
    let name = request::event_name(parts.uri.path().strip_prefix(PATH).unwrap_or_default())?;
    let kind = shared.dispatch.registry.load().get(&name).map(|event| event.kind);
    let is_get = parts.method == Method::GET;
    if is_get {
        may_get(headers, kind, &name)?;
    } else if parts.method != Method::POST {
        let allowed = if kind == Some(HandlerKind::Streaming) { "GET, POST" } else { "POST" };
        return Err(Failed::method(allowed, "Events are called with POST, and streams read with GET, too"));
    }
    let query = Query::parse(parts.uri.query())?;
    let accepted = headers.get_all(ACCEPT).iter().map(|value| value.to_str().unwrap_or_default());
    let Some(form) = negotiate::choose(accepted) else {
        let code = Code::new("not_acceptable");
        return Err(Failed::new(StatusCode::NOT_ACCEPTABLE, code, negotiate::OFFERED));
    };
    if kind == Some(HandlerKind::Streaming) && headers.get("last-event-id").is_some_and(|id| id == sse::END) {
        // An EventSource that comes back after the end. This is the answer after which it does not come again.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let config = &shared.config;
    let sent = request::read_body(headers, body, config.max_message_bytes, config.http.body_timeout).await?;
    if is_get && !sent.is_empty() {
        return Err(Failed::bad_request("The body of a GET is in its address: ?body=JSON"));
    }
    let body = if is_get { query.body.unwrap_or_default() } else { sent };
    // A body that is missing is the same as `null`: an empty one to the handler.
    let body = if body.trim_ascii().is_empty() { "null" } else { &body };
    let address = parts.extensions.get::<Arc<Serving>>().and_then(|serving| serving.visitor().address);
    let who = Requester::identify(shared, address.map(|address| address.ip()), headers).await?;
    let user = who.user();
    let begin = |shape| Run::begin(shared, who, &name, body, shape);
    if let Some(poll) = query.poll {
        // A stream goes on for whom it was begun for, and for nobody else.
        let user = user.unwrap_or_default();
        let whose = format!("{}:{user} {name}", user.len());
        return site.polling.answer(&whose, poll, || begin(Shape::Items)).await;
    }
    match form {
        Form::Lines | Form::Events if kind != Some(HandlerKind::OneWay) => {
            streamed(shared, begin(Shape::Items)?, form).await
        }
        // Of a plain event it is only said that it has run, whatever form was asked for.
        _ => whole(shared, begin(Shape::Array)?).await,
    }
}

/// A GET is for streams alone, since a browser sends one for any page that says so: an image's address would run a
/// handler.
fn may_get(headers: &HeaderMap, kind: Option<HandlerKind>, name: &str) -> Result<(), Failed> {
    match kind {
        None => return Err(Failure::unknown_event(name).into()),
        Some(kind) if kind != HandlerKind::Streaming => {
            let error = "Only a stream can be read with GET; call this event with POST";
            return Err(Failed::method("POST", error));
        }
        Some(_) => {}
    }
    // An origin that is named has been judged. One that is not named, by a browser that says that it is another one, is
    // none of those that are allowed.
    let is_foreign = headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site" || site == "same-site");
    if is_foreign && !headers.contains_key(ORIGIN) {
        let error = "A page from elsewhere may not read this in a way that hides where it is from. If its origin is \
                     allowed (--allow-origin), let it use EventSource or fetch";
        return Err(Failure::new(Code::NOT_ALLOWED, error).into());
    }
    Ok(())
}

/// All there is, at the end.
async fn whole(shared: &ServerContext, mut run: Run) -> Result<Response, Failed> {
    let mut body = Vec::new();
    let step = tokio::select! {
        biased;
        step = poll_fn(|cx| run.poll(cx, &mut body)) => step,
        () = shared.shutdown.reached(Phase::Over) => return Err(Failed::stopping()),
    };
    match step {
        Step::Item => Ok(json_response(Body::from(body))),
        Step::End => Ok(StatusCode::NO_CONTENT.into_response()),
        Step::Failed(failure) => Err(failure.into()),
    }
}

/// Items as they come. The status waits for the first of them; server-sent events do not wait, so that whoever reads
/// them knows that it is connected.
async fn streamed(shared: &ServerContext, run: Run, form: Form) -> Result<Response, Failed> {
    let over = shared.shutdown.reached(Phase::Over);
    let mut items = Items::new(run, form, shared.config.http.sse_keep_alive_interval, over);
    let first = poll_fn(|cx| match items.poll_first(cx) {
        Poll::Pending if form == Form::Events => Poll::Ready(Ok(())),
        first => first,
    });
    tokio::select! {
        biased;
        first = first => first?,
        () = shared.shutdown.reached(Phase::Over) => return Err(Failed::stopping()),
    }
    let mut response = typed(Body::new(items), form.media_type());
    // nginx would gather what comes, and pass it on late.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

pub(super) fn json_response(body: Body) -> Response {
    typed(body, Form::Json.media_type())
}

fn typed(body: Body, media_type: &'static str) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
