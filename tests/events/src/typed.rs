//! Takes a body with typed fields.

use aaw_event::prelude::*;

#[derive(Deserialize, Serialize)]
pub struct Body {
    id: i64,
    name: String,
}

pub async fn handler(body: Body) -> Body {
    body
}
