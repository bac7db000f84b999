//! Panics while its response is serialized.

use serde::{Serialize, Serializer};

pub struct Unserializable;

impl Serialize for Unserializable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("while serializing, with a secret")
    }
}

pub async fn handler() -> Vec<Unserializable> {
    vec![Unserializable]
}
