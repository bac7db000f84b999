//! What handlers ask of the server: rooms, and questions to clients; by name, with arguments and results in JSON.

use std::fmt::Write;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use aaw_event::host::unsupported_op;
use aaw_protocol::{Code, Failure, codec, is_reserved};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::hub::rooms::member_json;
use crate::hub::table::{Hub, Peer, frame, name_of_ours};

/// Bytes of answers that a question to a room collects; the answers beyond fail as `too_large`.
const MOST_COLLECTED: usize = 64 << 20;

/// On whose behalf a handler asks.
pub(crate) struct Behalf<'a> {
    pub(crate) hub: &'a Arc<Hub>,
    /// The connection of its call; none for a call over HTTP.
    pub(crate) connection: Option<Uuid>,
    /// Bytes that a message may have.
    pub(crate) most: usize,
}

#[derive(Deserialize)]
struct Join<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    presence: bool,
}

#[derive(Deserialize)]
struct Name<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(Deserialize)]
struct Emit<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    event: Text<'a>,
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow)]
    except: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Question<'a> {
    #[serde(borrow)]
    to: Option<Text<'a>>,
    #[serde(borrow)]
    event: Text<'a>,
    #[serde(borrow)]
    data: &'a RawValue,
    timeout_ms: u64,
}

#[derive(Deserialize)]
struct RoomQuestion<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    event: Text<'a>,
    #[serde(borrow)]
    data: &'a RawValue,
    timeout_ms: u64,
    #[serde(borrow)]
    except: Option<Text<'a>>,
}

/// Copied only where the JSON escapes something.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

impl Behalf<'_> {
    /// What does not wait.
    pub(crate) fn host_op(&self, op: &str, args: &str) -> Result<String, Failure> {
        let rooms = &self.hub.rooms;
        match op {
            "room/join" => {
                let Join { name, presence } = parse(args)?;
                rooms.join(&self.peer()?, &name.0, presence)?;
                Ok("null".into())
            }
            "room/leave" => {
                let Name { name } = parse(args)?;
                // Who has gone has left all rooms, and a call over HTTP is in none.
                if let Ok(peer) = self.peer() {
                    rooms.leave(&peer, &name.0);
                }
                Ok("null".into())
            }
            "room/emit" => {
                let Emit { name, event, data, except } = parse(args)?;
                let frame = frame(&event.0, data.get(), self.most)?;
                Ok(rooms.send(&name.0, &frame, id_of(except)).to_string())
            }
            "room/size" => {
                let Name { name } = parse(args)?;
                Ok(rooms.size(&name.0).to_string())
            }
            "room/members" => {
                let Name { name } = parse(args)?;
                let members: Vec<_> = rooms.members(&name.0).iter().map(|peer| member_json(peer)).collect();
                Ok(format!("[{}]", members.join(",")))
            }
            _ => Err(unsupported_op(op)),
        }
    }

    /// What is awaited.
    pub(crate) async fn host_op_async(self, op: &str, args: &str) -> Result<String, Failure> {
        match op {
            "ws/send_async" => {
                let Question { to, event, data, timeout_ms } = parse(args)?;
                let peer = match to {
                    None => self.peer()?,
                    Some(to) => id_of(Some(to)).and_then(|id| self.hub.peer(id)).ok_or_else(gone)?,
                };
                may_ask(&event.0)?;
                let answer = peer.ask(&*event.0, data.get(), millis(timeout_ms)).await?;
                Ok(answer.into())
            }
            "room/send_async" => {
                let RoomQuestion { name, event, data, timeout_ms, except } = parse(args)?;
                may_ask(&event.0)?;
                let except = id_of(except);
                let members = self.hub.rooms.members(&name.0).into_iter().filter(|peer| Some(peer.id) != except);
                Ok(collect(members, &event.0, data.get(), millis(timeout_ms)).await)
            }
            _ => Err(unsupported_op(op)),
        }
    }

    fn peer(&self) -> Result<Arc<Peer>, Failure> {
        let Some(connection) = self.connection else {
            return Err(Failure::new(Code::NO_CONNECTION, "A call over HTTP has no connection"));
        };
        self.hub.peer(connection).ok_or_else(gone)
    }
}

/// Asks all of them the same at once, and puts together what each has answered.
async fn collect(members: impl Iterator<Item = Arc<Peer>>, event: &str, data: &str, timeout: Duration) -> String {
    let (event, data): (Arc<str>, Arc<str>) = (event.into(), data.into());
    let mut answers: FuturesUnordered<_> = members
        .map(|peer| {
            let asking = peer.ask(Arc::clone(&event), Arc::clone(&data), timeout);
            async move { (peer.id, asking.await) }
        })
        .collect();
    let mut all = String::from("[");
    while let Some((id, answer)) = answers.next().await {
        let answer = answer.and_then(|answer| {
            if all.len() + answer.len() > MOST_COLLECTED {
                let error = format!("The answers of the room are larger than {MOST_COLLECTED} bytes together");
                return Err(Failure::new(Code::TOO_LARGE, error));
            }
            // It stands among others: one that is no JSON could speak for them.
            if !codec::is_json(&answer) {
                return Err(Failure::new(Code::BAD_BODY, "The answer is no JSON"));
            }
            Ok(answer)
        });
        let comma = if all.len() > 1 { "," } else { "" };
        let written = match answer {
            Ok(answer) => write!(all, r#"{comma}{{"id":"{id}","result":{answer}}}"#),
            Err(failure) => {
                let failure = serde_json::to_string(&failure).unwrap_or_else(|_| "null".into());
                write!(all, r#"{comma}{{"id":"{id}","error":{failure}}}"#)
            }
        };
        // Nothing fails that writes into a `String`.
        let _ = written;
    }
    all.push(']');
    all
}

fn parse<'a, T: Deserialize<'a>>(args: &'a str) -> Result<T, Failure> {
    serde_json::from_str(args).map_err(|error| {
        // aaw-event has made them; another version of it, perhaps.
        tracing::error!(%error, "a package asks in a way that this server does not know");
        Failure::internal(Code::HANDLER)
    })
}

fn id_of(text: Option<Text<'_>>) -> Option<Uuid> {
    text.and_then(|text| text.0.parse().ok())
}

fn may_ask(event: &str) -> Result<(), Failure> {
    if is_reserved(event) { Err(name_of_ours(event)) } else { Ok(()) }
}

fn millis(time: u64) -> Duration {
    if time == u64::MAX { Duration::MAX } else { Duration::from_millis(time) }
}

fn gone() -> Failure {
    Failure::new(Code::NO_CONNECTION, "The connection has ended")
}

/// A future that finds the server's runtime wherever it is polled and dropped: a loaded package does both on threads of
/// its own, too.
pub(crate) struct AtHome<F> {
    runtime: Option<Handle>,
    /// In an `Option`, so that it can be dropped while the runtime is entered.
    future: Option<Pin<Box<F>>>,
}

impl<F> AtHome<F> {
    pub(crate) fn new(runtime: Option<Handle>, future: F) -> Self {
        Self { runtime, future: Some(Box::pin(future)) }
    }
}

impl<F: Future> Future for AtHome<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { runtime, future } = &mut *self;
        let _entered = runtime.as_ref().map(Handle::enter);
        match future {
            Some(inner) => {
                let polled = inner.as_mut().poll(cx);
                if polled.is_ready() {
                    *future = None;
                }
                polled
            }
            None => Poll::Pending,
        }
    }
}

impl<F> Drop for AtHome<F> {
    fn drop(&mut self) {
        let _entered = self.runtime.as_ref().map(Handle::enter);
        self.future = None;
    }
}
