//! The contract as a document.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What an events package takes and returns, as [JSON Schema] 2020-12.
///
/// A schema that names a type refers to one of the [`definitions`](Self::definitions): `{"$ref": "#/definitions/input/User"}`.
/// What is absent is not known: the type has no schema.
///
/// [JSON Schema]: https://json-schema.org/draft/2020-12
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Contract {
    /// The events, by their names.
    pub events: BTreeMap<String, ContractEvent>,
    /// The types that have names.
    #[serde(skip_serializing_if = "Definitions::is_empty")]
    pub definitions: Definitions,
}

/// What one event takes and returns.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[non_exhaustive]
pub struct ContractEvent {
    /// The documentation of the handler: Markdown.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What the caller sends. `{"type": "null"}` for a handler that takes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// The response of a unary handler, or an item of a streaming one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// An item of the upload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_item: Option<Value>,
}

/// The schemas of types that have names.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Definitions {
    /// Of what is sent to the server.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub input: Map<String, Value>,
    /// Of what the server sends. A type can differ from its namesake in `input`: with serde, a field that has a default may be
    /// absent in one, and is always there in the other.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub output: Map<String, Value>,
}

impl Definitions {
    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.input.is_empty() && self.output.is_empty()
    }
}
