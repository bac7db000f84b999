use aaw_event::prelude::*;

pub fn handler(to: u64) -> impl Stream<Item = u64> {
    stream! {
        for number in 1..=to {
            yield number;
        }
    }
}
