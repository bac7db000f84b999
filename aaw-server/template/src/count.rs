//! An event that answers many times: `aaw stream ws://localhost:1337 count '{"to": 3}'`

use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    to: u32,
}

/// No `async fn`, but a `fn` that returns a stream. Each number is sent as it is yielded, and the next one is not asked
/// for before the reader has room for it; when the reader has gone, the stream is dropped.
pub fn handler(body: Body) -> impl Stream<Item = Result<u32>> {
    try_stream! {
        if body.to > 1_000_000 {
            Err(Error::new("That would take too long"))?;
        }
        for number in 1..=body.to {
            yield number;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn counts_to_three() {
        let numbers: Vec<u32> = handler(Body { to: 3 }).map(Result::unwrap).collect().await;
        assert_eq!(numbers, [1, 2, 3]);
    }
}
