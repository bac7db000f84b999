//! Rooms: named groups of connections.

use std::time::Duration;

use aaw_protocol::Failure;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::{Error, Result};
use super::host_ops::{host_op, host_op_async, parse_result, to_millis};
use super::identity::{Identity, IdentitySchema};
use super::response_future::ResponseFuture;
use crate::handles::CallerHandle;
use crate::json::parse_response;
use crate::throttle::log_throttled;

/// The server's rooms, as `services.room`.
///
/// A room exists while it has members and needs no setup; an unknown room is empty. Rooms can be used from tasks and
/// threads, and after the call has ended; only joining needs the connection. Cloning costs one reference count.
///
/// ```
/// use aaw_event::prelude::*;
///
/// #[derive(Deserialize)]
/// pub struct Line {
///     room: String,
///     text: String,
/// }
///
/// // src/say.rs
/// pub fn handler(body: Line, services: Services) -> Result<()> {
///     services.room.join(&body.room)?;
///     services.room.emit(&body.room, "said", json!({ "text": body.text }), Some(&services.ws.id()))?;
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Room {
    caller: CallerHandle,
}

/// Enables presence for a member, see [`Room::join_with`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Presence;

/// A member of a room: one connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Member {
    /// The connection's id.
    pub id: String,
    /// The identity of the connection's session; `None` without a session.
    #[serde(default)]
    #[schemars(with = "Option<IdentitySchema>")]
    pub identity: Option<Identity>,
}

#[derive(Serialize)]
struct JoinArgs<'a> {
    name: &'a str,
    presence: bool,
}

#[derive(Serialize)]
struct NameArgs<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct EmitArgs<'a, D> {
    name: &'a str,
    event: &'a str,
    data: D,
    except: Option<&'a str>,
}

#[derive(Serialize)]
struct RoomCallArgs<'a, D> {
    name: &'a str,
    event: &'a str,
    data: D,
    timeout_ms: u64,
    except: Option<&'a str>,
}

impl Room {
    pub(super) fn new(caller: CallerHandle) -> Self {
        Self { caller }
    }

    /// Adds this connection to a room, until it leaves or closes. Joining a room twice has no effect.
    ///
    /// # Errors
    /// `no_connection`, when the connection has closed, and for a call over HTTP; `busy`, when the connection is in as
    /// many rooms as the server allows (1024 by default); `bad_body`, when the name is empty or longer than 200 bytes.
    pub fn join(&self, name: &str) -> Result<()> {
        host_op(&self.caller, "room/join", &JoinArgs { name, presence: false })
    }

    /// Adds this connection to a room and notifies the room's other members: they receive the event `aaw/joined`, and
    /// `aaw/left` when this connection leaves or closes, each exactly once, with `{"room", "member": {"id",
    /// "identity"}}`. Members that leave at about the same time are announced together, and not to one another.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub fn join_with(&self, name: &str, _: Presence) -> Result<()> {
        host_op(&self.caller, "room/join", &JoinArgs { name, presence: true })
    }

    /// Removes this connection from a room. Leaving a room that it is not in has no effect.
    pub fn leave(&self, name: &str) {
        or_log::<()>(host_op(&self.caller, "room/leave", &NameArgs { name }), "room/leave");
    }

    /// Pushes an event to all members of a room, except to the connection with the id `except` (`services.ws.id()`,
    /// say). Returns the number of connections that it was queued for. This connection need not be a member.
    ///
    /// The members share one buffer, and this function does not wait for any of them: a member whose push queue is full
    /// is skipped. All members receive the events of a room in the same order.
    ///
    /// # Errors
    /// When `data` cannot be serialized as JSON or exceeds the maximum message size, or when the event's name begins
    /// with `aaw/`.
    pub fn emit(&self, name: &str, event: &str, data: impl Serialize, except: Option<&str>) -> Result<usize> {
        host_op(&self.caller, "room/emit", &EmitArgs { name, event, data: &data, except })
    }

    /// The number of members of a room.
    pub fn size(&self, name: &str) -> usize {
        or_log(host_op(&self.caller, "room/size", &NameArgs { name }), "room/size")
    }

    /// The members of a room, with and without presence, in no particular order.
    pub fn members(&self, name: &str) -> Vec<Member> {
        or_log(host_op(&self.caller, "room/members", &NameArgs { name }), "room/members")
    }

    /// Calls the clients of all members of a room, except that of the connection `except`, and collects their responses
    /// within `timeout`: for each member, in no particular order, its connection's id and its response or error. The
    /// errors are those of [`Ws::send_async`](crate::Ws::send_async).
    ///
    /// In a test the response is the one set with
    /// [`TestServices::with_response`](crate::testing::TestServices::with_response), for the one connection, if it is a
    /// member.
    ///
    /// # Errors
    /// When no client could be called: the payload cannot be serialized as JSON, or the event's name begins with
    /// `aaw/`.
    pub fn send_async<T: DeserializeOwned>(
        &self,
        name: &str,
        event: &str,
        payload: impl Serialize,
        timeout: Duration,
        except: Option<&str>,
    ) -> ResponseFuture<Vec<(String, Result<T>)>> {
        let args = RoomCallArgs { name, event, data: &payload, timeout_ms: to_millis(timeout), except };
        host_op_async(&self.caller, "room/send_async", &args, parse_responses)
    }
}

/// Parses the members' responses. A response that does not fit is an error of that member alone.
fn parse_responses<T: DeserializeOwned>(json: &[u8]) -> Result<Vec<(String, Result<T>)>> {
    #[derive(Deserialize)]
    struct MemberResponse {
        id: String,
        #[serde(default)]
        result: Option<Box<RawValue>>,
        #[serde(default)]
        error: Option<Failure>,
    }
    let all: Vec<MemberResponse> = parse_result(json)?;
    let one = |MemberResponse { id, result, error }| {
        let response = match error {
            Some(failure) => Err(Error::from_client_call(failure)),
            // serde parses `"result": null` as `None`, and `null` is a valid response.
            None => parse_response(result.as_ref().map_or("null", |json| json.get())).map_err(Error::from_client_call),
        };
        (id, response)
    };
    Ok(all.into_iter().map(one).collect())
}

/// For operations whose only possible failure is a server without rooms, which is logged.
fn or_log<T: Default>(result: Result<T>, op: &str) -> T {
    result.unwrap_or_else(|error| {
        log_throttled!(error, op, "{error:#}");
        T::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_responses_of_members_are_parsed_one_by_one() {
        let json = br#"[{"id":"a","result":1},{"id":"b","error":{"error":"No","code":"timeout"}},{"id":"c","result":"x"},{"id":"d","result":null}]"#;
        let all = parse_responses::<Option<u8>>(json).unwrap();
        let found: Vec<_> =
            all.iter().map(|(id, response)| (id.as_str(), response.as_ref().map_err(Error::code))).collect();
        let expected = [("a", Ok(&Some(1))), ("b", Err("timeout")), ("c", Err("bad_body")), ("d", Ok(&None))];
        assert_eq!(found, expected);
    }
}
