//! Rooms: connections that hear what is said to a name.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::{Error, Result};
use super::identity::Identity;
use super::response_future::ResponseFuture;
use super::side::{Side, TEST_ID, read};
use super::ws::{Sent, To, millis};
use crate::module::parse_answer;

/// The server's rooms, as `services.room`.
///
/// A room is there while somebody is in it, and needs no making; an unknown one is empty. Works from tasks and threads
/// too, and after the call has ended; only joining needs the connection. Cloning costs a reference count.
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
    to: Side,
}

/// Asks for presence, see [`Room::join_with`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Presence;

/// Somebody who is in a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Member {
    /// The connection's id.
    pub id: String,
    /// Who it has shown itself to be.
    #[serde(default)]
    pub identity: Option<Identity>,
}

#[derive(Serialize)]
struct Join<'a> {
    name: &'a str,
    presence: bool,
}

#[derive(Serialize)]
struct Name<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Emit<'a, D> {
    name: &'a str,
    event: &'a str,
    data: D,
    except: Option<&'a str>,
}

#[derive(Serialize)]
struct Send<'a, D> {
    name: &'a str,
    event: &'a str,
    data: D,
    timeout_ms: u64,
    except: Option<&'a str>,
}

impl Room {
    pub(super) fn of(to: Side) -> Self {
        Self { to }
    }

    /// Puts this connection into a room, until it leaves or ends. Being in it already is no error.
    ///
    /// # Errors
    /// When the connection has gone (`no_connection`; a call over HTTP has none), is in as many rooms as it may be (1024,
    /// by the server's default; `busy`), or when the name is empty or longer than 200 bytes (`bad_body`).
    pub fn join(&self, name: &str) -> Result<()> {
        self.enter(name, false)
    }

    /// As [`join`](Self::join), and the room is told: its other members get the event `aaw/joined`, and `aaw/left` when
    /// this connection leaves or ends, with `{"room", "member": {"id", "identity"}}`; each exactly once.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub fn join_with(&self, name: &str, _: Presence) -> Result<()> {
        self.enter(name, true)
    }

    fn enter(&self, name: &str, presence: bool) -> Result<()> {
        match &self.to {
            Side::Host(caller) => Side::host_op(caller, "room/join", &Join { name, presence }),
            Side::Test(stage) => {
                stage.acts().rooms.insert(name.to_owned());
                Ok(())
            }
        }
    }

    /// Takes this connection out of a room. Not being in it is no error.
    pub fn leave(&self, name: &str) {
        match &self.to {
            Side::Host(caller) => or_log(Side::host_op(caller, "room/leave", &Name { name }), "room/leave"),
            Side::Test(stage) => {
                stage.acts().rooms.remove(name);
            }
        }
    }

    /// Pushes an event to all who are in a room, but not to the connection `except` (`services.ws.id()`, say); this
    /// connection need not be in it. Says how many it reached.
    ///
    /// It is one buffer however many they are, and waits for nobody: who reads too slowly is not reached. What is emitted
    /// to a room arrives in the same order at each of its members.
    ///
    /// # Errors
    /// When `data` cannot be JSON or is larger than a message may be, or when the event's name begins with `aaw/`.
    pub fn emit(&self, name: &str, event: &str, data: impl Serialize, except: Option<&str>) -> Result<usize> {
        match &self.to {
            Side::Host(caller) => Side::host_op(caller, "room/emit", &Emit { name, event, data: &data, except }),
            Side::Test(stage) => {
                let data = serde_json::to_value(&data)?;
                let mut acts = stage.acts();
                acts.sent.push(Sent::new(To::Room(name.to_owned()), event, data));
                Ok(usize::from(acts.rooms.contains(name) && except != Some(TEST_ID)))
            }
        }
    }

    /// How many are in a room.
    pub fn size(&self, name: &str) -> usize {
        match &self.to {
            Side::Host(caller) => or_log(Side::host_op(caller, "room/size", &Name { name }), "room/size"),
            Side::Test(stage) => usize::from(stage.acts().rooms.contains(name)),
        }
    }

    /// Who is in a room, in no order; with or without presence.
    pub fn members(&self, name: &str) -> Vec<Member> {
        match &self.to {
            Side::Host(caller) => or_log(Side::host_op(caller, "room/members", &Name { name }), "room/members"),
            Side::Test(stage) => {
                let acts = stage.acts();
                let is_in = acts.rooms.contains(name);
                let member = || Member { id: TEST_ID.to_owned(), identity: acts.identity.clone() };
                is_in.then(member).into_iter().collect()
            }
        }
    }

    /// Asks all who are in a room, but not the connection `except`, and collects what they answer within `timeout`: for
    /// each its connection's id, and its answer or why there is none, in no order. See
    /// [`Ws::send_async`](crate::Ws::send_async) for the reasons; the room's own is `timeout`.
    ///
    /// In a test the answer is what [`Services::with_response`](crate::Services::with_response) says, of the one connection,
    /// if it is in the room.
    ///
    /// # Errors
    /// When nobody could be asked: the payload cannot be JSON, or the event's name begins with `aaw/`.
    pub fn send_async<T: DeserializeOwned>(
        &self,
        name: &str,
        event: &str,
        payload: impl Serialize,
        timeout: Duration,
        except: Option<&str>,
    ) -> ResponseFuture<Vec<(String, Result<T>)>> {
        match &self.to {
            Side::Host(caller) => {
                let args = Send { name, event, data: &payload, timeout_ms: millis(timeout), except };
                Side::host_op_async(caller, "room/send_async", &args, answers)
            }
            Side::Test(stage) => {
                let mut acts = stage.acts();
                let asked = serde_json::to_value(&payload).map_err(Error::from).and_then(|data| {
                    acts.sent.push(Sent::new(To::Room(name.to_owned()), event, data));
                    let is_asked = acts.rooms.contains(name) && except != Some(TEST_ID);
                    let answer = is_asked.then(|| match acts.answers.get(event) {
                        Some(answer) => serde_json::json!({ "id": TEST_ID, "result": answer }),
                        None => serde_json::json!({ "id": TEST_ID, "error": super::ws::no_answer(event) }),
                    });
                    Ok(serde_json::to_vec(&answer.into_iter().collect::<Vec<_>>())?)
                });
                ResponseFuture::done(asked, answers)
            }
        }
    }
}

/// What each has answered. A client's answer that does not fit is its own failure, not the whole room's.
fn answers<T: DeserializeOwned>(json: &[u8]) -> Result<Vec<(String, Result<T>)>> {
    #[derive(Deserialize)]
    struct Answer {
        id: String,
        #[serde(default)]
        result: Option<Box<RawValue>>,
        #[serde(default)]
        error: Option<aaw_protocol::Failure>,
    }
    let all: Vec<Answer> = read(json)?;
    let one = |Answer { id, result, error }| {
        let answer = match error {
            Some(failure) => Err(Error::told(failure)),
            // `null` is an answer too.
            None => parse_answer(result.as_ref().map_or("null", |json| json.get())).map_err(Error::told),
        };
        (id, answer)
    };
    Ok(all.into_iter().map(one).collect())
}

/// Where there is nothing to be said to the handler: only a server that has no rooms fails so.
fn or_log<T: Default>(done: Result<T>, op: &str) -> T {
    done.unwrap_or_else(|error| {
        tracing::error!(op, "{error:#}");
        T::default()
    })
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use serde_json::json;

    use super::*;
    use crate::sdk::Services;

    fn now<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("it waits"),
        }
    }

    #[test]
    fn a_test_has_rooms_with_one_connection() {
        let services = Services::for_test(());
        let room = &services.room;
        assert_eq!((room.size("a"), room.members("a")), (0, vec![]));
        room.join("a").unwrap();
        room.join_with("a", Presence).unwrap();
        assert_eq!((room.size("a"), room.members("a")[0].id.as_str()), (1, "test"));
        assert_eq!(room.emit("a", "said", 1, None).unwrap(), 1);
        assert_eq!(room.emit("a", "said", 2, Some(&services.ws.id())).unwrap(), 0);
        room.leave("a");
        assert_eq!((room.size("a"), room.emit("a", "said", 3, None).unwrap()), (0, 0));
        let said = |n: u8| Sent::new(To::Room("a".to_owned()), "said", n);
        assert_eq!(services.ws.sent(), [said(1), said(2), said(3)]);
    }

    #[test]
    fn a_test_answers_for_the_room() {
        let services = Services::for_test(()).with_response("confirm", json!({ "yes": true }));
        let ask = |event: &str| now(services.room.send_async::<Value>("a", event, (), Duration::from_secs(1), None));
        assert!(ask("confirm").unwrap().is_empty());
        services.room.join("a").unwrap();
        assert_eq!(ask("confirm").unwrap()[0].1.as_ref().unwrap(), &json!({ "yes": true }));
        assert_eq!(ask("other").unwrap()[0].1.as_ref().unwrap_err().code(), "unknown_event");
    }

    #[test]
    fn answers_are_taken_one_by_one() {
        let json = br#"[{"id":"a","result":1},{"id":"b","error":{"error":"No","code":"timeout"}},{"id":"c","result":"x"},{"id":"d","result":null}]"#;
        let all = answers::<Option<u8>>(json).unwrap();
        let said: Vec<_> = all.iter().map(|(id, answer)| (id.as_str(), answer.as_ref().map_err(Error::code))).collect();
        let expected = [("a", Ok(&Some(1))), ("b", Err("timeout")), ("c", Err("bad_body")), ("d", Ok(&None))];
        assert_eq!(said, expected);
    }

    use serde_json::Value;
}
