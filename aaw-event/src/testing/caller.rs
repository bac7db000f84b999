//! The connection of a test.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aaw_protocol::{BROADCAST, Code, Failure, is_reserved};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::sent::{Recipient, SentMessage};
use crate::host::{Caller, unsupported_op};
use crate::sdk::{Handshake, Identity};

/// The id of the one connection of a test.
const TEST_ID: &str = "test";

/// The longest name of a room on a server.
const MAX_ROOM_NAME_BYTES: usize = 200;

/// A caller in memory: records what a handler sends, and returns the responses that the test has set.
#[derive(Debug, Default)]
pub(super) struct TestCaller {
    state: Mutex<TestCallerState>,
}

#[derive(Debug, Default)]
struct TestCallerState {
    sent: Vec<SentMessage>,
    /// The rooms that the connection has joined.
    rooms: BTreeSet<String>,
    identity: Option<Identity>,
    handshake: Option<Handshake>,
    /// The client's responses, by event.
    responses: HashMap<String, Value>,
}

impl TestCaller {
    pub(super) fn sent(&self) -> Vec<SentMessage> {
        self.state().sent.clone()
    }

    pub(super) fn set_identity(&self, identity: Identity) {
        self.state().identity = Some(identity);
    }

    pub(super) fn set_handshake(&self, handshake: Handshake) {
        self.state().handshake = Some(handshake);
    }

    pub(super) fn set_response(&self, event: String, response: Value) {
        self.state().responses.insert(event, response);
    }

    fn state(&self) -> MutexGuard<'_, TestCallerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TestCallerState {
    fn send(&mut self, to: Recipient, event: &str, data: Value) {
        self.sent.push(SentMessage { to, event: event.to_owned(), data });
    }

    /// What the client returns when it is called.
    fn response(&self, event: &str) -> Result<Value, Failure> {
        self.responses.get(event).cloned().ok_or_else(|| Failure::unknown_event(event))
    }

    /// Whether a message to a room reaches the connection.
    fn is_reached(&self, room: &str, except: Option<&str>) -> bool {
        self.rooms.contains(room) && except != Some(TEST_ID)
    }
}

impl Caller for TestCaller {
    fn id(&self) -> String {
        TEST_ID.to_owned()
    }

    fn send_event(&self, event: &str, data: &str) -> Result<(), Failure> {
        check_event(event)?;
        let data = parse(data)?;
        self.state().send(Recipient::Caller, event, data);
        Ok(())
    }

    fn broadcast(&self, data: &str, include_self: bool) {
        let to = if include_self { Recipient::Everyone } else { Recipient::Others };
        if let Ok(data) = parse(data) {
            self.state().send(to, BROADCAST, data);
        }
    }

    fn host_op(&self, op: &str, args: &str) -> Result<String, Failure> {
        let mut state = self.state();
        match op {
            "room/join" => {
                let RoomArgs { name } = parse(args)?;
                check_room(&name)?;
                state.rooms.insert(name);
                to_json(&())
            }
            "room/leave" => {
                state.rooms.remove(&parse::<RoomArgs>(args)?.name);
                to_json(&())
            }
            "room/emit" => {
                let RoomMessageArgs { name, event, data, except } = parse(args)?;
                check_event(&event)?;
                let reached = usize::from(state.is_reached(&name, except.as_deref()));
                state.send(Recipient::Room(name), &event, data);
                to_json(&reached)
            }
            "ws/is_connected" => to_json(&true),
            "room/size" => to_json(&usize::from(state.rooms.contains(&parse::<RoomArgs>(args)?.name))),
            "room/members" => {
                let is_member = state.rooms.contains(&parse::<RoomArgs>(args)?.name);
                let member = || json!({ "id": TEST_ID, "identity": state.identity });
                to_json(&is_member.then(member).into_iter().collect::<Vec<_>>())
            }
            "identity" => to_json(&state.identity),
            "handshake" => to_json(state.handshake.get_or_insert_with(|| Handshake::new("/"))),
            _ => Err(unsupported_op(op)),
        }
    }

    fn host_op_async(
        self: Arc<Self>,
        op: String,
        args: String,
    ) -> Pin<Box<dyn Future<Output = Result<String, Failure>> + Send>> {
        Box::pin(async move {
            let mut state = self.state();
            match &*op {
                "ws/send_async" => {
                    let ClientCallArgs { to, event, data } = parse(&args)?;
                    check_event(&event)?;
                    let to = to.map_or(Recipient::Caller, Recipient::Connection);
                    state.send(to, &event, data);
                    to_json(&state.response(&event)?)
                }
                "room/send_async" => {
                    let RoomMessageArgs { name, event, data, except } = parse(&args)?;
                    check_event(&event)?;
                    let response = state.is_reached(&name, except.as_deref()).then(|| match state.response(&event) {
                        Ok(result) => json!({ "id": TEST_ID, "result": result }),
                        Err(error) => json!({ "id": TEST_ID, "error": error }),
                    });
                    state.send(Recipient::Room(name), &event, data);
                    to_json(&response.into_iter().collect::<Vec<_>>())
                }
                "authenticate" => {
                    let AuthenticateArgs { user } = parse(&args)?;
                    let logged_in = to_json(&json!({ "token": "test", "user": user }))?;
                    state.identity = Some(user);
                    Ok(logged_in)
                }
                "logout" => {
                    state.identity = None;
                    to_json(&())
                }
                _ => Err(unsupported_op(&op)),
            }
        })
    }
}

#[derive(Deserialize)]
struct RoomArgs {
    name: String,
}

#[derive(Deserialize)]
struct RoomMessageArgs {
    name: String,
    event: String,
    data: Value,
    except: Option<String>,
}

#[derive(Deserialize)]
struct ClientCallArgs {
    to: Option<String>,
    event: String,
    data: Value,
}

#[derive(Deserialize)]
struct AuthenticateArgs {
    user: Identity,
}

/// Refuses the event names that a server refuses.
fn check_event(event: &str) -> Result<(), Failure> {
    if is_reserved(event) {
        return Err(Failure::new(Code::NOT_ALLOWED, format!("{event} is a reserved event name")));
    }
    Ok(())
}

/// Refuses the room names that a server refuses.
fn check_room(name: &str) -> Result<(), Failure> {
    if name.is_empty() || name.len() > MAX_ROOM_NAME_BYTES {
        let error = format!("A room's name must have 1 to {MAX_ROOM_NAME_BYTES} bytes");
        return Err(Failure::new(Code::BAD_BODY, error));
    }
    Ok(())
}

fn parse<T: DeserializeOwned>(json: &str) -> Result<T, Failure> {
    serde_json::from_str(json).map_err(|error| Failure::new(Code::BAD_BODY, error.to_string()))
}

fn to_json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::new(Code::HANDLER, error.to_string()))
}
