//! Who is calling: log-ins, sessions, and events that need them. Off unless [`Config::auth`](crate::Config::auth) is set.
//!
//! With it on, events below a folder called `auth` need a session, and aaw answers `aaw/register`, `aaw/login`,
//! `aaw/resume`, `aaw/logout`, `aaw/password/request-reset` and `aaw/password/set-new` itself. A session begins with one
//! of them, belongs to the connection from then on, and ends for all who hold it at once.
//!
//! ```no_run
//! # #[cfg(feature = "auth-sqlite")]
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use aaw_server::auth::SqliteStore;
//! use aaw_server::{Config, Server};
//!
//! let store = SqliteStore::open("aaw-auth.sqlite").await?;
//! let server = Server::new(Config::default()).events(aaw_events::module()).auth(store).bind().await?;
//! # server.serve(std::future::pending()).await;
//! # Ok(()) }
//! ```
//!
//! | room | |
//! |---|---|
//! | `config` | [`Auth`]: what all of it holds to |
//! | `store` | [`Store`]: who keeps users and sessions; passwords are its business alone |
//! | `sqlite` | the store that comes with it (feature `auth-sqlite`) |
//! | `passwords` | Argon2id, a few at a time, apart from everything else (feature `auth-sqlite`) |
//! | `token` | secrets that stand for a session, and what is kept of them |
//! | `email` | when two addresses are one |
//! | `session` | a session that is in use, and what it may call |
//! | `live` | the table of those, so that an end reaches everybody |
//! | `limits` | how often somebody may try |
//! | `body` | what the bodies of the built-in events must hold |
//! | `events` | the built-in events |
//! | `asked` | what handlers ask about their caller |
//! | `service` | what ties them together |

mod asked;

#[cfg(feature = "auth")]
mod body;
#[cfg(feature = "auth")]
mod config;
#[cfg(feature = "auth")]
mod email;
#[cfg(feature = "auth")]
mod events;
#[cfg(feature = "auth")]
mod limits;
#[cfg(feature = "auth")]
mod live;
#[cfg(feature = "auth-sqlite")]
mod passwords;
#[cfg(feature = "auth")]
mod service;
#[cfg(feature = "auth")]
mod session;
#[cfg(feature = "auth-sqlite")]
mod sqlite;
#[cfg(feature = "auth")]
mod store;
#[cfg(feature = "auth")]
mod token;

#[cfg(not(feature = "auth"))]
#[path = "off.rs"]
mod service;

pub use aaw_event::Identity;
#[cfg(feature = "auth")]
pub use aaw_protocol::Token;
pub(crate) use asked::host_op_async;
#[cfg(feature = "auth")]
pub use config::{Auth, PasswordReset, Rate, ResetHook};
#[cfg(feature = "auth")]
pub use email::{Email, InvalidEmail};
#[cfg(feature = "auth-sqlite")]
pub use passwords::{Passwords, PasswordsConfig};
#[cfg(feature = "auth")]
pub(crate) use service::Holder;
pub(crate) use service::{Asked, Held, Service, Session};
#[cfg(feature = "auth-sqlite")]
pub use sqlite::{OpenError, SqliteStore, User};
#[cfg(feature = "auth")]
pub use store::{Credentials, NewSession, Password, StartedSession, Store, StoreError, StoreFuture, StoredSession};
#[cfg(feature = "auth")]
pub use token::TokenHash;
