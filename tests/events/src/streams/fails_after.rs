//! Yields the numbers 1 to `items`, then fails with `text`; without it, with an error whose text must not reach the
//! caller.

use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    items: u64,
    text: Option<String>,
    code: Option<String>,
}

pub fn handler(body: Body) -> impl Stream<Item = Result<u64>> {
    try_stream! {
        for number in 1..=body.items {
            yield number;
        }
        let Some(text) = body.text else { return Err(std::io::Error::other("the disk's secret"))? };
        let error = Error::new(text);
        Err(match body.code {
            Some(code) => error.with_code(code),
            None => error,
        })?;
    }
}
