//! The contract of an events package: the names of its events, and the JSON Schemas of what they take and return.
//!
//! `probe` finds the types of a handler. `package` collects their schemas, and `document` is the result: the JSON that a package
//! gives to its host.

mod document;
mod package;
pub mod probe;

pub use document::{Contract, ContractEvent, Definitions};
pub use package::PackageContract;
