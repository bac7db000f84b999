//! The contract of a server: what the events of all its packages take and return.

use std::collections::{BTreeMap, BTreeSet};

use aaw_event::contract::{Contract, ContractEvent, Definitions};
use aaw_event::host::HandlerKind;
use aaw_protocol::EventName;
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// The events of a server, with the schemas of their types.
#[derive(Debug, Default)]
pub(crate) struct ServerContract {
    events: BTreeMap<EventName, DescribedEvent>,
    definitions: Definitions,
    /// Changes whenever what an event takes or returns does: 16 hexadecimal digits.
    hash: String,
}

/// One event, as callers see it.
#[derive(Debug, Serialize)]
struct DescribedEvent {
    kind: String,
    /// Whether the caller needs a session.
    #[serde(skip_serializing_if = "is_false")]
    protected: bool,
    #[serde(flatten)]
    contract: ContractEvent,
}

/// What a caller is told.
#[derive(Debug, Serialize)]
struct Description<'a> {
    /// Of the contract with all events, so that it is the same for every caller.
    hash: &'a str,
    events: BTreeMap<&'a str, &'a DescribedEvent>,
    definitions: Definitions,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Builds a [`ServerContract`].
#[derive(Debug, Default)]
pub(crate) struct ContractBuilder(ServerContract);

impl ContractBuilder {
    /// Adds the definitions of a package. `contract` then refers to them by the names that they have in the result: two packages
    /// may have different types of one name.
    pub(crate) fn add_definitions(&mut self, contract: &mut Contract) {
        let own = std::mem::take(&mut contract.definitions);
        let Definitions { input, output, .. } = &mut self.0.definitions;
        let sides = [("input", input, own.input), ("output", output, own.output)];
        for (side, all, own) in sides {
            let renamed = merge(all, own, side);
            for event in contract.events.values_mut() {
                for schema in [&mut event.body, &mut event.output, &mut event.upload_item].into_iter().flatten() {
                    rename(schema, side, &renamed);
                }
            }
        }
    }

    /// Adds an event, as its package describes it.
    pub(crate) fn add_event(&mut self, name: EventName, kind: HandlerKind, contract: ContractEvent) {
        let protected = name.is_protected();
        self.0.events.insert(name, DescribedEvent { kind: kind.to_string(), protected, contract });
    }

    pub(crate) fn finish(self) -> ServerContract {
        let Self(mut contract) = self;
        let events: BTreeMap<_, _> = contract.events.iter().map(|(name, event)| (name.as_str(), event)).collect();
        // Only texts and JSON.
        let json = serde_json::to_vec(&(events, &contract.definitions)).unwrap_or_default();
        let digest = Sha256::digest(&json);
        contract.hash = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        contract
    }
}

impl ServerContract {
    /// Returns the JSON that describes those events for which `is_visible`.
    pub(crate) fn describe(&self, is_visible: impl Fn(&EventName) -> bool) -> String {
        let visible = self.events.iter().filter(|(name, _)| is_visible(name));
        let events: BTreeMap<_, _> = visible.map(|(name, event)| (name.as_str(), event)).collect();
        let mut definitions = Definitions::default();
        for event in events.values() {
            let ContractEvent { body, output, upload_item, .. } = &event.contract;
            for schema in [body, output, upload_item].into_iter().flatten() {
                self.add_referenced(schema, &mut definitions);
            }
        }
        // Only texts and JSON.
        serde_json::to_string(&Description { hash: &self.hash, events, definitions }).unwrap_or_default()
    }

    /// Adds the definitions that a schema refers to, and those that they refer to.
    fn add_referenced(&self, schema: &Value, found: &mut Definitions) {
        let mut waiting = vec![schema];
        while let Some(schema) = waiting.pop() {
            for_each_reference(schema, &mut |side, name| {
                let (all, found) = match side {
                    "input" => (&self.definitions.input, &mut found.input),
                    _ => (&self.definitions.output, &mut found.output),
                };
                if let Some(definition) = all.get(name)
                    && !found.contains_key(name)
                {
                    found.insert(name.to_owned(), definition.clone());
                    waiting.push(definition);
                }
            });
        }
    }
}

/// Adds `own` to `all`. Returns the names that had to change.
fn merge(all: &mut Map<String, Value>, own: Map<String, Value>, side: &str) -> BTreeMap<String, String> {
    let mut different: BTreeSet<String> = own
        .iter()
        .filter(|(name, schema)| all.get(*name).is_some_and(|other| other != *schema))
        .map(|(name, _)| name.clone())
        .collect();
    // A type that contains one of them is another type as well, although its own schema looks the same.
    loop {
        let refers = |schema: &Value| {
            let mut refers = false;
            for_each_reference(schema, &mut |of, name| refers |= of == side && different.contains(name));
            refers
        };
        let more: Vec<_> = own
            .iter()
            .filter(|(name, schema)| all.contains_key(*name) && !different.contains(*name) && refers(schema))
            .map(|(name, _)| name.clone())
            .collect();
        if more.is_empty() {
            break;
        }
        different.extend(more);
    }
    let mut renamed = BTreeMap::new();
    for name in different {
        let mut numbered = (2..).map(|number| format!("{name}{number}"));
        let free = numbered.find(|new| {
            !all.contains_key(new) && !own.contains_key(new) && !renamed.values().any(|taken| taken == new)
        });
        renamed.insert(name, free.unwrap_or_default());
    }
    for (name, mut schema) in own {
        rename(&mut schema, side, &renamed);
        all.insert(renamed.get(&name).cloned().unwrap_or(name), schema);
    }
    renamed
}

/// Changes the names of definitions in a schema.
fn rename(schema: &mut Value, side: &str, renamed: &BTreeMap<String, String>) {
    if renamed.is_empty() {
        return;
    }
    let mut waiting = vec![schema];
    while let Some(schema) = waiting.pop() {
        match schema {
            Value::Array(values) => waiting.extend(values),
            Value::Object(fields) => {
                for (key, value) in fields {
                    match value {
                        Value::String(text) if key == "$ref" => {
                            if let Some((of, name)) = parse_reference(text)
                                && of == side
                                && let Some(new) = renamed.get(name)
                            {
                                *text = format!("#/definitions/{side}/{new}");
                            }
                        }
                        value => waiting.push(value),
                    }
                }
            }
            _ => {}
        }
    }
}

/// Calls `found` with the side and the name of each definition that a schema refers to.
fn for_each_reference(schema: &Value, found: &mut impl FnMut(&str, &str)) {
    let mut waiting = vec![schema];
    while let Some(schema) = waiting.pop() {
        match schema {
            Value::Array(values) => waiting.extend(values),
            Value::Object(fields) => {
                for (key, value) in fields {
                    match value {
                        Value::String(text) if key == "$ref" => {
                            if let Some((side, name)) = parse_reference(text) {
                                found(side, name);
                            }
                        }
                        value => waiting.push(value),
                    }
                }
            }
            _ => {}
        }
    }
}

/// The side and the name in `#/definitions/SIDE/NAME`.
fn parse_reference(reference: &str) -> Option<(&str, &str)> {
    reference.strip_prefix("#/definitions/")?.split_once('/').filter(|(side, _)| matches!(*side, "input" | "output"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn package(definitions: &Value, body: &str) -> Contract {
        let contract = json!({
            "events": { "get": { "body": { "$ref": format!("#/definitions/input/{body}") } } },
            "definitions": { "input": definitions },
        });
        serde_json::from_value(contract).unwrap()
    }

    fn reference(name: &str) -> Value {
        json!({ "$ref": format!("#/definitions/input/{name}") })
    }

    /// The contract of packages whose events have the prefixes `0`, `1` and so on.
    fn merged(packages: Vec<Contract>) -> Value {
        let mut builder = ContractBuilder::default();
        for (number, mut package) in packages.into_iter().enumerate() {
            builder.add_definitions(&mut package);
            for (name, event) in package.events {
                builder.add_event(EventName::parse(&format!("{number}/{name}")).unwrap(), HandlerKind::Unary, event);
            }
        }
        serde_json::from_str(&builder.finish().describe(|_| true)).unwrap()
    }

    #[test]
    fn equal_types_of_two_packages_are_one() {
        let types = json!({ "User": { "type": "string" } });
        let all = merged(vec![package(&types, "User"), package(&types, "User")]);
        assert_eq!(all["definitions"]["input"], types);
    }

    #[test]
    fn different_types_of_one_name_get_two_names() {
        let one = package(&json!({ "User": { "type": "string" } }), "User");
        let other = package(&json!({ "User": { "type": "number" }, "User2": { "type": "null" } }), "User");
        let all = merged(vec![one, other]);
        assert_eq!(all["events"]["0/get"]["body"], reference("User"));
        assert_eq!(all["events"]["1/get"]["body"], reference("User3"));
        assert_eq!(all["definitions"]["input"]["User3"]["type"], "number");
    }

    #[test]
    fn a_type_that_contains_a_different_one_is_different() {
        let types = |id: &str| json!({ "Id": { "type": id }, "User": { "properties": { "id": reference("Id") } } });
        let all = merged(vec![package(&types("string"), "User"), package(&types("number"), "User")]);
        assert_eq!(all["events"]["1/get"]["body"], reference("User2"));
        assert_eq!(all["definitions"]["input"]["User2"]["properties"]["id"], reference("Id2"));
    }

    #[test]
    fn only_what_is_visible_and_what_it_refers_to_is_described() {
        let types = json!({
            "List": { "items": reference("List"), "properties": { "lost": reference("Lost") } },
            "Other": { "type": "null" },
        });
        let mut builder = ContractBuilder::default();
        let mut package = package(&types, "List");
        builder.add_definitions(&mut package);
        let event = package.events.remove("get").unwrap();
        builder.add_event(EventName::parse("seen").unwrap(), HandlerKind::Unary, event.clone());
        builder.add_event(EventName::parse("hidden").unwrap(), HandlerKind::Unary, event);
        let contract = builder.finish();
        let described: Value = serde_json::from_str(&contract.describe(|name| name.as_str() == "seen")).unwrap();
        assert_eq!(described["events"].as_object().unwrap().keys().collect::<Vec<_>>(), ["seen"]);
        assert_eq!(described["definitions"], json!({ "input": { "List": types["List"] } }));
        assert_eq!(described["hash"], contract.hash);
        let none: Value = serde_json::from_str(&contract.describe(|_| false)).unwrap();
        assert_eq!((&none["events"], &none["definitions"]), (&json!({}), &json!({})));
    }
}
