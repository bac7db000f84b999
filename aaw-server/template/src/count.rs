//! An event with a streaming handler: `aaw stream ws://localhost:1337 count '{"to": 3}'`

use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    to: u32,
}

/// A `fn` that returns a stream, instead of an `async fn`. Each number is sent as soon as it is yielded. The stream is
/// polled for the next number only while the caller has credit, and is dropped when the caller disconnects.
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
