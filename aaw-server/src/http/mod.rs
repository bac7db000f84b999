//! The same events over plain HTTP, for curl, EventSource and fetch; pages; and one's own routes beside them.
//!
//! | path | |
//! |---|---|
//! | `POST`, `GET /events/NAME` | call an event, read a stream (`events`) |
//! | `GET /events` | which events there are (`page`) |
//! | `GET /` | a page to try them, or the folder of [`HttpConfig::static_dir`](crate::config::HttpConfig::static_dir) |
//! | `GET /aaw.js`, `/aaw/*.js` | the client for browsers (`scripts`) |
//! | `GET /healthz` | whether the server takes calls |
//!
//! A request passes the `door` (a WebSocket? from an origin that may come in?), then `events` reads what it says
//! (`request`, `negotiate`), begins the call (`run`) and answers it whole, as `items` come (`sse`), or by `polling` with
//! `cursors`. What fails is a `failed` with a status.
//!
//! Nothing here runs in a task of its own: a handler is polled where its answer is written, so a reader that is slow
//! slows it, and one that hangs up drops it.

mod cursors;
mod door;
mod events;
mod failed;
mod files;
mod front;
mod items;
mod mount;
mod negotiate;
mod page;
mod polling;
mod request;
mod run;
mod scripts;
mod site;
mod sse;

pub(crate) use front::{Front, Routes};
pub use mount::MountedServer;
