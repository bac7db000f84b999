//! Streams the numbers 1 to `to`, and waits `every_ms` milliseconds before each.

use std::time::Duration;

use aaw_event::prelude::*;

#[derive(Deserialize, JsonSchema)]
#[serde(default)]
pub struct Body {
    to: u64,
    every_ms: u64,
}

impl Default for Body {
    fn default() -> Self {
        Self { to: 5, every_ms: 0 }
    }
}

pub fn handler(body: Body) -> impl Stream<Item = u64> {
    stream! {
        for number in 1..=body.to {
            // A sleep of zero would still wait for the next millisecond of the timer.
            if body.every_ms > 0 {
                tokio::time::sleep(Duration::from_millis(body.every_ms)).await;
            }
            yield number;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn counts_without_waiting() {
        let body = serde_json::from_value(json!({ "to": 1000 })).unwrap();
        // Without a runtime there is no timer, and the stream is polled only once.
        let numbers = pin!(handler(body).collect::<Vec<_>>()).poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(numbers, Poll::Ready((1..=1000).collect()));
    }

    #[tokio::test(start_paused = true)]
    async fn waits_before_each_number() {
        let start = tokio::time::Instant::now();
        let mut numbers = pin!(handler(Body { to: 3, every_ms: 100 }));
        let mut seen = Vec::new();
        while let Some(number) = numbers.next().await {
            seen.push((number, start.elapsed().as_millis()));
        }
        assert_eq!(seen, [(1, 100), (2, 200), (3, 300)]);
    }
}
