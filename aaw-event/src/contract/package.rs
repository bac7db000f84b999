//! Collects the schemas of a package.

use std::borrow::Cow;

use schemars::Schema;
use schemars::generate::{Contract as Direction, SchemaGenerator, SchemaSettings};

use super::document::{Contract, ContractEvent};

/// The contract of a package while its events are added. Filled by generated code.
#[derive(Debug)]
pub struct PackageContract {
    input: SchemaGenerator,
    output: SchemaGenerator,
    contract: Contract,
}

impl PackageContract {
    pub(crate) fn new() -> Self {
        let generator = |direction: Direction, path: &'static str| {
            SchemaSettings::draft2020_12()
                .with(|settings| {
                    settings.contract = direction;
                    settings.definitions_path = Cow::Borrowed(path);
                    settings.meta_schema = None;
                })
                .into_generator()
        };
        Self {
            input: generator(Direction::Deserialize, "/definitions/input"),
            output: generator(Direction::Serialize, "/definitions/output"),
            contract: Contract::default(),
        }
    }

    /// What describes a type that is sent to the server.
    pub fn input(&mut self) -> &mut SchemaGenerator {
        &mut self.input
    }

    /// What describes a type that the server sends.
    pub fn output(&mut self) -> &mut SchemaGenerator {
        &mut self.output
    }

    /// Adds an event.
    pub fn add_event(
        &mut self,
        name: &str,
        description: &str,
        body: Option<Schema>,
        output: Option<Schema>,
        upload_item: Option<Schema>,
    ) {
        let event = ContractEvent {
            description: description.to_owned(),
            body: body.map(Schema::to_value),
            output: output.map(Schema::to_value),
            upload_item: upload_item.map(Schema::to_value),
        };
        self.contract.events.insert(name.to_owned(), event);
    }

    pub(crate) fn finish(mut self) -> Contract {
        self.contract.definitions.input = self.input.take_definitions(true);
        self.contract.definitions.output = self.output.take_definitions(true);
        self.contract
    }
}
