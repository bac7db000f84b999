//! Yields the numbers 1 to `items`, and panics.

use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    items: u64,
}

pub fn handler(body: Body) -> impl Stream<Item = u64> {
    stream! {
        for number in 1..=body.items {
            yield number;
        }
        panic!("after items, with a secret");
    }
}
