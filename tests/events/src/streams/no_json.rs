//! Yields `{}`, and then a value that cannot be serialized as JSON: a map whose keys are lists.

use std::collections::HashMap;

use aaw_event::prelude::*;

pub fn handler() -> impl Stream<Item = HashMap<Vec<u8>, u8>> {
    stream! {
        yield HashMap::new();
        yield HashMap::from([(vec![1], 2)]);
        yield HashMap::new();
    }
}
