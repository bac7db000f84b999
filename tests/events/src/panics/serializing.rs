//! Panics while its response is serialised.

use serde::{Serialize, Serializer};

pub struct Unserializable;

impl Serialize for Unserializable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("while serialising, with a secret")
    }
}

pub async fn handler() -> Vec<Unserializable> {
    vec![Unserializable]
}
