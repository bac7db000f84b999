//! The contract of a server: what the events of all its packages take and return.

use std::collections::{BTreeMap, BTreeSet};

use aaw_event::contract::{Contract, ContractEvent, Definitions};
use aaw_event::host::HandlerKind;
use aaw_protocol::EventName;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// The events of a server, with the schemas of their types. All of it is JSON already, so that describing it copies texts.
#[derive(Debug, Default)]
pub(crate) struct ServerContract {
    events: BTreeMap<EventName, DescribedEvent>,
    definitions: BTreeMap<Side, BTreeMap<String, Box<RawValue>>>,
    /// Changes whenever what an event takes or returns does: 16 hexadecimal digits.
    hash: String,
}

/// One event, as callers see it.
#[derive(Debug)]
struct DescribedEvent {
    json: Box<RawValue>,
    /// The definitions that its schemas refer to, also those that others of them do.
    references: BTreeSet<Reference>,
}

/// Who sends what a schema describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    Input,
    Output,
}

/// The side and the name of a definition.
type Reference = (Side, String);

/// The JSON of an event.
#[derive(Serialize)]
struct EventJson {
    kind: String,
    /// Whether the caller needs a session.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    protected: bool,
    #[serde(flatten)]
    contract: ContractEvent,
}

/// What a caller is told.
#[derive(Serialize)]
struct Description<'a> {
    /// Of the contract with all events, so that it is the same for every caller.
    hash: &'a str,
    events: BTreeMap<&'a str, &'a RawValue>,
    definitions: BTreeMap<Side, BTreeMap<&'a str, &'a RawValue>>,
}

/// Builds a [`ServerContract`].
#[derive(Debug, Default)]
pub(crate) struct ContractBuilder {
    events: BTreeMap<EventName, (HandlerKind, ContractEvent)>,
    definitions: BTreeMap<Side, Map<String, Value>>,
}

impl ContractBuilder {
    /// Adds the definitions of a package. `contract` then refers to them by the names that they have in the result: two packages
    /// may have different types of one name.
    pub(crate) fn add_definitions(&mut self, contract: &mut Contract) {
        let Definitions { input, output, .. } = std::mem::take(&mut contract.definitions);
        for (side, own) in [(Side::Input, input), (Side::Output, output)] {
            let renamed = merge(self.definitions.entry(side).or_default(), own, side);
            contract.events.values_mut().flat_map(schemas).for_each(|schema| rename(schema, side, &renamed));
        }
    }

    /// Adds an event, as its package describes it.
    pub(crate) fn add_event(&mut self, name: EventName, kind: HandlerKind, contract: ContractEvent) {
        self.events.insert(name, (kind, contract));
    }

    pub(crate) fn finish(mut self) -> ServerContract {
        let mut contract = ServerContract::default();
        for (name, (kind, mut event)) in self.events {
            let references = closure(schemas(&mut event), &mut self.definitions);
            let event = EventJson { kind: kind.to_string(), protected: name.is_protected(), contract: event };
            contract.events.insert(name, DescribedEvent { json: raw(&event), references });
        }
        for (side, definitions) in self.definitions {
            let definitions = definitions.into_iter().map(|(name, schema)| (name, raw(&schema)));
            contract.definitions.insert(side, definitions.collect());
        }
        let digest = Sha256::digest(contract.describe(|_| true).as_bytes());
        contract.hash = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        contract
    }
}

impl ServerContract {
    /// Returns the JSON that describes those events for which `is_visible`.
    pub(crate) fn describe(&self, is_visible: impl Fn(&EventName) -> bool) -> String {
        let visible = || self.events.iter().filter(|(name, _)| is_visible(name));
        let events = visible().map(|(name, event)| (name.as_str(), &*event.json)).collect();
        let mut definitions = BTreeMap::<_, BTreeMap<_, _>>::new();
        for (side, name) in visible().flat_map(|(_, event)| &event.references) {
            if let Some((name, json)) = self.definitions.get(side).and_then(|all| all.get_key_value(name)) {
                definitions.entry(*side).or_default().insert(name.as_str(), &**json);
            }
        }
        // JSON and texts always serialize.
        serde_json::to_string(&Description { hash: &self.hash, events, definitions }).unwrap_or_default()
    }
}

fn raw(value: &impl Serialize) -> Box<RawValue> {
    // JSON and texts always serialize.
    to_raw_value(value).unwrap_or_default()
}

fn schemas(event: &mut ContractEvent) -> impl Iterator<Item = &mut Value> {
    [&mut event.body, &mut event.output, &mut event.upload_item].into_iter().flatten()
}

/// Returns the definitions that schemas refer to, and those that these refer to. Some may not exist.
fn closure<'a>(
    schemas: impl Iterator<Item = &'a mut Value>,
    definitions: &mut BTreeMap<Side, Map<String, Value>>,
) -> BTreeSet<Reference> {
    let mut waiting: Vec<_> = schemas.flat_map(references).collect();
    let mut found = BTreeSet::new();
    while let Some((side, name)) = waiting.pop() {
        if let Some(schema) = definitions.get_mut(&side).and_then(|all| all.get_mut(&name))
            && found.insert((side, name))
        {
            waiting.extend(references(schema));
        }
    }
    found
}

/// Adds `own` to `all`. Returns the names that had to change.
fn merge(all: &mut Map<String, Value>, mut own: Map<String, Value>, side: Side) -> BTreeMap<String, String> {
    let is_different = |(name, schema): &(&String, &Value)| all.get(*name).is_some_and(|other| other != *schema);
    let mut different: BTreeSet<String> = own.iter().filter(is_different).map(|(name, _)| name.clone()).collect();
    // A type that contains one of them is another type as well, although its own schema looks the same.
    loop {
        let before = different.len();
        for (name, schema) in &mut own {
            let is_same = all.contains_key(name) && !different.contains(name);
            if is_same && references(schema).iter().any(|(of, to)| *of == side && different.contains(to)) {
                different.insert(name.clone());
            }
        }
        if different.len() == before {
            break;
        }
    }
    let mut renamed = BTreeMap::<String, String>::new();
    for name in different {
        let is_taken = |new: &String| all.contains_key(new) || own.contains_key(new);
        let free = (2..).map(|number| format!("{name}{number}")).find(|new| !is_taken(new));
        renamed.insert(name, free.unwrap_or_default());
    }
    for (name, mut schema) in own {
        rename(&mut schema, side, &renamed);
        all.insert(renamed.get(&name).cloned().unwrap_or(name), schema);
    }
    renamed
}

/// Changes the names of definitions in a schema.
fn rename(schema: &mut Value, side: Side, renamed: &BTreeMap<String, String>) {
    for_each_reference(schema, &mut |text| {
        if let Some((of, name)) = parse_reference(text)
            && of == side
            && let Some(new) = renamed.get(name)
        {
            text.replace_range(text.len() - name.len().., new);
        }
    });
}

/// Returns the definitions that a schema refers to.
fn references(schema: &mut Value) -> Vec<Reference> {
    let mut found = Vec::new();
    for_each_reference(schema, &mut |text| {
        found.extend(parse_reference(text).map(|(side, name)| (side, name.to_owned())));
    });
    found
}

/// Calls `f` with each `$ref` of a schema.
fn for_each_reference(schema: &mut Value, f: &mut impl FnMut(&mut String)) {
    let mut waiting = vec![schema];
    while let Some(schema) = waiting.pop() {
        match schema {
            Value::Array(values) => waiting.extend(values),
            Value::Object(fields) => {
                for (key, value) in fields {
                    match value {
                        Value::String(text) if key == "$ref" => f(text),
                        value => waiting.push(value),
                    }
                }
            }
            _ => {}
        }
    }
}

/// The side and the name in `#/definitions/SIDE/NAME`.
fn parse_reference(reference: &str) -> Option<(Side, &str)> {
    let (side, name) = reference.strip_prefix("#/definitions/")?.split_once('/')?;
    match side {
        "input" => Some((Side::Input, name)),
        "output" => Some((Side::Output, name)),
        _ => None,
    }
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
