//! The operations that handlers call on their host: pushes, broadcasts, rooms, client calls, and the caller's identity.
//!
//! Pushes and broadcasts are methods of [`Caller`](host::Caller). All others are found by name in [`OPERATIONS`]; their
//! arguments and results are JSON.

use std::fmt::Write;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use aaw_event::Identity;
use aaw_event::host::{self, unsupported_op};
use aaw_protocol::{Code, Failure, codec, is_reserved};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::auth::{IdentifiedCaller, identity_change};
use crate::hub::event_caller::EventCaller;
use crate::hub::in_runtime::InRuntime;
use crate::hub::mailbox::connection_ended;
use crate::hub::peer::Peer;
use crate::hub::push::{push_frame, reserved_name};
use crate::hub::rooms::member_json;
use crate::throttle::log_throttled;

/// The most bytes of responses that a call of a room collects; further responses fail as `too_large`.
const MAX_COLLECTED: usize = 64 << 20;

/// The result of an operation that is awaited.
type HostOpFuture = Pin<Box<dyn Future<Output = Result<String, Failure>> + Send>>;

/// The implementation of an operation.
enum HostOp {
    /// Completes at once.
    Immediate(fn(&EventCaller, &str) -> Result<String, Failure>),
    /// Begins when the function is called, and is awaited.
    Awaited(fn(Arc<EventCaller>, String) -> HostOpFuture),
}

/// All operations, by name.
const OPERATIONS: [(&str, HostOp); 12] = [
    ("room/join", HostOp::Immediate(join_room)),
    ("room/leave", HostOp::Immediate(leave_room)),
    ("room/emit", HostOp::Immediate(emit_to_room)),
    ("room/size", HostOp::Immediate(room_size)),
    ("room/members", HostOp::Immediate(room_members)),
    ("identity", HostOp::Immediate(identity)),
    ("handshake", HostOp::Immediate(handshake)),
    ("ws/is_connected", HostOp::Immediate(is_connected)),
    ("ws/send_async", HostOp::Awaited(|caller, args| Box::pin(call_client(caller, args)))),
    ("room/send_async", HostOp::Awaited(|caller, args| Box::pin(call_room(caller, args)))),
    ("authenticate", HostOp::Awaited(authenticate)),
    ("logout", HostOp::Awaited(log_out)),
];

fn find_op(name: &str) -> Option<&'static HostOp> {
    const { &OPERATIONS }.iter().find(|(op, _)| *op == name).map(|(_, op)| op)
}

impl host::Caller for EventCaller {
    fn id(&self) -> String {
        self.context().id.to_string()
    }

    fn send_event(&self, event: &str, data: &str) -> Result<(), Failure> {
        let Ok(peer) = self.peer() else {
            let error = "A call over HTTP has no connection to send an event to";
            return Err(Failure::new(Code::NO_CONNECTION, error));
        };
        let frame = push_frame(event, data, self.services.max_message)?;
        let mut delivery = self.delivery();
        let pushed = self.services.hub.push_to(peer, &frame, &mut delivery);
        self.wait_for_readers(delivery);
        pushed
    }

    fn broadcast(&self, data: &str, include_self: bool) {
        let except = (!include_self).then_some(self.context().id);
        let mut delivery = self.delivery();
        self.services.hub.broadcast(data, self.services.max_message, except, &mut delivery);
        self.wait_for_readers(delivery);
    }

    fn host_op(&self, op: &str, args: &str) -> Result<String, Failure> {
        match find_op(op) {
            Some(HostOp::Immediate(run)) => run(self, args),
            _ => Err(unsupported_op(op)),
        }
    }

    fn host_op_async(self: Arc<Self>, op: String, args: String) -> HostOpFuture {
        match find_op(&op) {
            Some(HostOp::Awaited(begin)) => {
                let runtime = self.services.runtime.clone();
                Box::pin(InRuntime::new(runtime, begin(self, args)))
            }
            _ => Box::pin(ready(Err(unsupported_op(&op)))),
        }
    }
}

/// A string argument, copied only if the JSON contains escapes.
#[derive(Deserialize)]
struct TextArg<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

#[derive(Deserialize)]
struct JoinArgs<'a> {
    #[serde(borrow)]
    name: TextArg<'a>,
    presence: bool,
}

#[derive(Deserialize)]
struct RoomArgs<'a> {
    #[serde(borrow)]
    name: TextArg<'a>,
}

#[derive(Deserialize)]
struct EmitArgs<'a> {
    #[serde(borrow)]
    name: TextArg<'a>,
    #[serde(borrow)]
    event: TextArg<'a>,
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow)]
    except: Option<TextArg<'a>>,
}

#[derive(Deserialize)]
struct ClientCallArgs<'a> {
    #[serde(borrow)]
    to: Option<TextArg<'a>>,
    #[serde(borrow)]
    event: TextArg<'a>,
    #[serde(borrow)]
    data: &'a RawValue,
    timeout_ms: u64,
}

#[derive(Deserialize)]
struct RoomCallArgs<'a> {
    #[serde(borrow)]
    name: TextArg<'a>,
    #[serde(borrow)]
    event: TextArg<'a>,
    #[serde(borrow)]
    data: &'a RawValue,
    timeout_ms: u64,
    #[serde(borrow)]
    except: Option<TextArg<'a>>,
}

#[derive(Deserialize)]
struct AuthenticateArgs {
    user: Identity,
}

fn join_room(caller: &EventCaller, args: &str) -> Result<String, Failure> {
    let JoinArgs { name, presence } = parse(args)?;
    let mut delivery = caller.delivery();
    let joined = caller.services.hub.rooms.join(caller.peer()?, &name.0, presence, &mut delivery);
    caller.wait_for_readers(delivery);
    joined.map(|()| "null".into())
}

fn leave_room(caller: &EventCaller, args: &str) -> Result<String, Failure> {
    let RoomArgs { name } = parse(args)?;
    // An HTTP request is a member of no room, so there is nothing to do.
    if let Ok(peer) = caller.peer() {
        caller.services.hub.rooms.leave(peer, &name.0);
    }
    Ok("null".into())
}

fn emit_to_room(caller: &EventCaller, args: &str) -> Result<String, Failure> {
    let EmitArgs { name, event, data, except } = parse(args)?;
    let frame = push_frame(&event.0, data.get(), caller.services.max_message)?;
    let mut delivery = caller.delivery();
    let count = caller.services.hub.rooms.push(&name.0, &frame, parse_id(except), &mut delivery);
    caller.wait_for_readers(delivery);
    Ok(count.to_string())
}

fn room_size(caller: &EventCaller, args: &str) -> Result<String, Failure> {
    let RoomArgs { name } = parse(args)?;
    Ok(caller.services.hub.rooms.size(&name.0).to_string())
}

fn room_members(caller: &EventCaller, args: &str) -> Result<String, Failure> {
    let RoomArgs { name } = parse(args)?;
    let members = caller.services.hub.rooms.members(&name.0);
    let members: Vec<_> = members.iter().map(|peer| member_json(peer)).collect();
    Ok(format!("[{}]", members.join(",")))
}

fn identity(caller: &EventCaller, _args: &str) -> Result<String, Failure> {
    Ok(caller.context().identity_json().unwrap_or_else(|| "null".into()))
}

fn handshake(caller: &EventCaller, _args: &str) -> Result<String, Failure> {
    let kept = caller.context().handshake.as_ref();
    kept.map(|handshake| handshake.json()).ok_or_else(|| {
        let error = "The handshake was not kept: when it took place, no events that this server had loaded read it";
        Failure::new(Code::UNREACHABLE, error)
    })
}

fn is_connected(caller: &EventCaller, _args: &str) -> Result<String, Failure> {
    Ok(caller.peer().is_ok_and(|peer| peer.mailbox.is_connected()).to_string())
}

/// `ws/send_async`: a client call to the caller's connection, or to the one with the given id.
async fn call_client(caller: Arc<EventCaller>, args: String) -> Result<String, Failure> {
    let ClientCallArgs { to, event, data, timeout_ms } = parse(&args)?;
    let peer = match to {
        None => Arc::clone(caller.peer()?),
        Some(to) => {
            let id = parse_id(Some(to));
            id.and_then(|id| caller.services.hub.peer(id)).ok_or_else(connection_ended)?
        }
    };
    check_not_reserved(&event.0)?;
    let response = peer.client_call(&*event.0, data.get(), timeout(timeout_ms)).await?;
    Ok(response.into())
}

/// `room/send_async`: a client call to each member of a room but `except`.
async fn call_room(caller: Arc<EventCaller>, args: String) -> Result<String, Failure> {
    let RoomCallArgs { name, event, data, timeout_ms, except } = parse(&args)?;
    check_not_reserved(&event.0)?;
    let except = parse_id(except);
    let members = caller.services.hub.rooms.members(&name.0).into_iter().filter(|peer| Some(peer.id()) != except);
    Ok(collect_responses(members, &event.0, data.get(), timeout(timeout_ms)).await)
}

/// Calls all of these clients at once, and collects their responses into one JSON array.
async fn collect_responses(
    members: impl Iterator<Item = Arc<Peer>>,
    event: &str,
    data: &str,
    timeout: Duration,
) -> String {
    let (event, data): (Arc<str>, Arc<str>) = (event.into(), data.into());
    let mut calls: FuturesUnordered<_> = members
        .map(|peer| {
            let call = peer.client_call(Arc::clone(&event), Arc::clone(&data), timeout);
            async move { (peer.id(), call.await) }
        })
        .collect();
    let mut collected = String::from("[");
    while let Some((id, response)) = calls.next().await {
        let response = response.and_then(|response| {
            if collected.len() + response.len() > MAX_COLLECTED {
                let error = format!("The responses of the room's members exceed {MAX_COLLECTED} bytes in total");
                return Err(Failure::new(Code::TOO_LARGE, error));
            }
            // Checked, because it becomes part of a larger text: one that is not JSON could forge other members'
            // results.
            if !codec::is_json(&response) {
                return Err(Failure::new(Code::BAD_BODY, "The response is not JSON"));
            }
            Ok(response)
        });
        let comma = if collected.len() > 1 { "," } else { "" };
        let written = match response {
            Ok(response) => write!(collected, r#"{comma}{{"id":"{id}","result":{response}}}"#),
            Err(failure) => {
                let failure = serde_json::to_string(&failure).unwrap_or_else(|_| "null".into());
                write!(collected, r#"{comma}{{"id":"{id}","error":{failure}}}"#)
            }
        };
        // Writing to a `String` does not fail.
        let _ = written;
    }
    collected.push(']');
    collected
}

fn authenticate(caller: Arc<EventCaller>, args: String) -> HostOpFuture {
    let Some(auth) = caller.services.auth.clone() else {
        return Box::pin(ready(Err(Failure::new(Code::UNREACHABLE, "Authentication is not enabled"))));
    };
    identity_change::begin(caller.context().id);
    Box::pin(async move {
        let AuthenticateArgs { user } = serde_json::from_str(&args)
            .map_err(|error| Failure::new(Code::HANDLER, format!("authenticate: {error}")))?;
        auth.authenticate(caller.context(), user, caller.session_scope()).await
    })
}

fn log_out(caller: Arc<EventCaller>, _args: String) -> HostOpFuture {
    // Without authentication there is no session to end.
    let Some(auth) = caller.services.auth.clone() else { return Box::pin(ready(Ok("null".into()))) };
    identity_change::begin(caller.context().id);
    Box::pin(async move { auth.log_out(&caller).await.map(|()| "null".into()) })
}

fn parse<'a, T: Deserialize<'a>>(args: &'a str) -> Result<T, Failure> {
    serde_json::from_str(args).map_err(|error| {
        // aaw-event has serialized them, possibly a version that this server does not support.
        log_throttled!(error, %error, "a module called a host operation with arguments that this server cannot parse");
        Failure::internal(Code::INTERNAL)
    })
}

/// Parses a connection's id. `None` if it is missing or invalid, in which case no connection has it.
fn parse_id(text: Option<TextArg<'_>>) -> Option<Uuid> {
    text.and_then(|text| text.0.parse().ok())
}

fn check_not_reserved(event: &str) -> Result<(), Failure> {
    if is_reserved(event) { Err(reserved_name(event)) } else { Ok(()) }
}

/// A timeout as it crosses the module ABI: the maximum means none.
fn timeout(millis: u64) -> Duration {
    if millis == u64::MAX { Duration::MAX } else { Duration::from_millis(millis) }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use aaw_event::host::Caller as _;
    use futures_util::FutureExt as _;

    use super::*;
    use crate::auth::{CallContext, SessionSlot};
    use crate::hub::event_caller::HostServices;
    use crate::hub::hub::{ConnectionGuard, Hub};
    use crate::hub::mailbox::{Command, Mailbox};
    use crate::request_info::KeptHandshake;

    fn services() -> Arc<HostServices> {
        HostServices::new(Arc::new(Hub::default()), None, 100)
    }

    fn connect(services: &Arc<HostServices>) -> (ConnectionGuard, Arc<EventCaller>) {
        let hub = &services.hub;
        let guard = hub.insert(hub.admit(10).unwrap(), None, None, Mailbox::for_test(1000));
        let caller = EventCaller::for_connection(Arc::clone(services), Arc::clone(&guard.peer));
        (guard, caller)
    }

    fn request(services: &Arc<HostServices>) -> Arc<EventCaller> {
        request_with(services, None)
    }

    fn request_with(services: &Arc<HostServices>, handshake: Option<Box<KeptHandshake>>) -> Arc<EventCaller> {
        let session = SessionSlot::for_request(None);
        let context = CallContext { id: Uuid::new_v4(), client_key: None, address: None, session, handshake };
        EventCaller::for_request(Arc::clone(services), context)
    }

    fn pushes(guard: &ConnectionGuard) -> Vec<String> {
        let mut commands = VecDeque::new();
        guard.peer.mailbox.take(&mut commands);
        let text = |command| match command {
            Command::Push(frame) => Some(String::from_utf8(frame.payload().to_vec()).unwrap()),
            _ => None,
        };
        commands.into_iter().filter_map(text).collect()
    }

    fn awaited(caller: &Arc<EventCaller>, op: &str, args: &str) -> Result<String, Failure> {
        let future = Arc::clone(caller).host_op_async(op.into(), args.into());
        future.now_or_never().expect("it completes at once")
    }

    #[test]
    fn the_names_of_operations_are_unique() {
        for (name, _) in &OPERATIONS {
            assert_eq!(OPERATIONS.iter().filter(|(other, _)| other == name).count(), 1, "{name}");
        }
    }

    #[test]
    fn a_connection_joins_a_room_and_receives_what_is_emitted_to_it() {
        let services = services();
        let (guard, caller) = connect(&services);
        assert_eq!(caller.host_op("room/join", r#"{"name":"r","presence":false}"#), Ok("null".into()));
        assert_eq!(caller.host_op("room/size", r#"{"name":"r"}"#), Ok("1".into()));
        let args = r#"{"name":"r","event":"e","data":1,"except":null}"#;
        assert_eq!(caller.host_op("room/emit", args), Ok("1".into()));
        assert_eq!(pushes(&guard), [r#"["e",1]"#]);
        let members = format!(r#"[{{"id":"{}","identity":null}}]"#, caller.id());
        assert_eq!(caller.host_op("room/members", r#"{"name":"r"}"#), Ok(members));
        assert_eq!(caller.host_op("room/leave", r#"{"name":"r"}"#), Ok("null".into()));
        assert_eq!(caller.host_op("room/size", r#"{"name":"r"}"#), Ok("0".into()));
    }

    #[test]
    fn a_broadcast_excludes_its_sender_unless_it_is_included() {
        let services = services();
        let ((a, caller), (b, _)) = (connect(&services), connect(&services));
        caller.broadcast("1", false);
        assert_eq!((pushes(&a).len(), pushes(&b)), (0, vec![r#"["broadcast",1]"#.to_owned()]));
        caller.broadcast("2", true);
        assert_eq!((pushes(&a).len(), pushes(&b).len()), (1, 1));
    }

    #[test]
    fn operations_that_need_a_connection_fail_for_an_http_request() {
        let caller = request(&services());
        let no_connection = |failure: Failure| (failure.error, failure.code);
        let expected = ("A call over HTTP has no connection".to_owned(), Code::NO_CONNECTION);
        let join = caller.host_op("room/join", r#"{"name":"r","presence":true}"#);
        assert_eq!(join.map_err(no_connection), Err(expected.clone()));
        let call = awaited(&caller, "ws/send_async", r#"{"to":null,"event":"e","data":1,"timeout_ms":1}"#);
        assert_eq!(call.map_err(no_connection), Err(expected));
        assert_eq!(caller.send_event("e", "1").unwrap_err().code, Code::NO_CONNECTION);
        assert_eq!(caller.host_op("room/leave", r#"{"name":"r"}"#), Ok("null".into()));
        assert_eq!(caller.host_op("identity", "{}"), Ok("null".into()));
    }

    #[test]
    fn a_connection_that_has_ended_can_be_used_and_fails() {
        let services = services();
        let (guard, caller) = connect(&services);
        drop(guard);
        assert_eq!(caller.send_event("e", "1").unwrap_err().code, Code::NO_CONNECTION);
        let join = caller.host_op("room/join", r#"{"name":"r","presence":false}"#);
        assert_eq!(join.unwrap_err().code, Code::NO_CONNECTION);
        let call = awaited(&caller, "ws/send_async", r#"{"to":null,"event":"e","data":1,"timeout_ms":1}"#);
        assert_eq!(call.unwrap_err().code, Code::NO_CONNECTION);
        assert_eq!(caller.host_op("room/leave", r#"{"name":"r"}"#), Ok("null".into()));
    }

    #[test]
    fn the_handshake_is_that_which_was_kept() {
        let services = services();
        assert_eq!(request(&services).host_op("handshake", "{}").unwrap_err().code, Code::UNREACHABLE);
        let handshake = aaw_event::Handshake::new("/").with_header("x", "1");
        let caller = request_with(&services, Some(Box::new(KeptHandshake::new(&handshake))));
        let json = caller.host_op("handshake", "{}").unwrap();
        assert_eq!(serde_json::from_str::<aaw_event::Handshake>(&json).unwrap(), handshake);
    }

    #[test]
    fn an_unknown_operation_and_one_of_the_other_kind_are_unsupported() {
        let caller = request(&services());
        for op in ["room/paint", "ws/send_async", "logout"] {
            assert_eq!(caller.host_op(op, "{}"), Err(unsupported_op(op)));
        }
        for op in ["room/paint", "room/size", "identity"] {
            assert_eq!(awaited(&caller, op, "{}"), Err(unsupported_op(op)));
        }
    }

    #[test]
    fn without_authentication_a_log_in_is_unreachable_and_a_log_out_does_nothing() {
        let caller = request(&services());
        assert_eq!(awaited(&caller, "authenticate", "{}").unwrap_err().code, Code::UNREACHABLE);
        assert_eq!(awaited(&caller, "logout", "{}"), Ok("null".into()));
    }
}
