//! Panics while its answer is written.

use serde::{Serialize, Serializer};

pub struct Answer;

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("while serialising, with a secret")
    }
}

pub async fn handler() -> Vec<Answer> {
    vec![Answer]
}
