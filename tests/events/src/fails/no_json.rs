//! Returns a value that cannot be serialized as JSON: a map whose keys are lists.

use std::collections::HashMap;

pub async fn handler() -> HashMap<Vec<u8>, u8> {
    HashMap::from([(vec![1], 2)])
}
