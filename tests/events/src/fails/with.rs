//! Fails with the error in its body.

use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    error: String,
    code: Option<String>,
    data: Option<Value>,
    status: Option<u16>,
}

pub async fn handler(body: Body) -> Result<()> {
    let mut error = Error::new(body.error);
    if let Some(code) = body.code {
        error = error.with_code(code);
    }
    if let Some(data) = body.data {
        error = error.with_data(data);
    }
    if let Some(status) = body.status {
        error = error.with_status(status);
    }
    Err(error)
}
