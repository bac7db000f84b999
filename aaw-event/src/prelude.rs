//! All that a file with a handler usually needs: `use aaw_event::prelude::*;`.

pub use serde::{Deserialize, Serialize};
pub use serde_json::{Value, json};

pub use crate::sdk::{Empty, Error, Result, Services};
