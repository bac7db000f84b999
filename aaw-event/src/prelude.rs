//! What a file with a handler usually needs: `use aaw_event::prelude::*;`.

pub use async_stream::{stream, try_stream};
pub use futures_util::{Stream, StreamExt};
/// `#[derive(JsonSchema)]` names the crate `schemars`, so that it is here as well.
pub use schemars::{self, JsonSchema};
pub use serde::{Deserialize, Serialize};
pub use serde_json::{Value, json};

pub use crate::sdk::{
    AwayInfo, BackInfo, CloseInfo, Empty, Error, GuardedCall, Handshake, Identity, LoggedIn, OpenInfo, PasswordReset,
    Presence, Result, Services, Upload,
};
