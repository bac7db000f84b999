//! Types with names, which refer to themselves.

use aaw_event::prelude::*;

/// A person.
#[derive(Deserialize, Serialize, JsonSchema)]
pub struct Person {
    /// The number of the person.
    id: i64,
    name: String,
    #[serde(default)]
    friends: Vec<Person>,
}

/// Returns the person.
pub async fn handler(body: Person) -> Result<Person> {
    Ok(body)
}
