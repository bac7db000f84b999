//! Which events there are: a table made once from all sources, and swapped whole while calls run.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use aaw_event::Module;
use aaw_event::host::{HandlerKind, Instance};
use aaw_protocol::{EventName, InvalidName};

/// A module, and where its events come from: what a [`Server`](crate::Server) is made of.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Events {
    /// The table of events.
    pub module: Module,
    /// The folder that stands before each name, such as `shop/orders`; empty for none.
    pub prefix: String,
    /// Where the module came from, for messages: a path, a package's name.
    pub origin: String,
}

impl Events {
    /// The events of a module, under their own names.
    pub fn new(module: Module) -> Self {
        let origin = format!("the package {}", module.package());
        Self { module, prefix: String::new(), origin }
    }

    /// Puts a folder before each name: `under("shop")` makes `get` the event `shop/get`.
    #[must_use]
    pub fn under(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }
}

impl From<Module> for Events {
    fn from(module: Module) -> Self {
        Self::new(module)
    }
}

/// Why some events cannot be served together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// Two sources have an event of the same name.
    #[error("the event {name} is there twice: in {first} and in {second}")]
    Twice {
        /// The name.
        name: EventName,
        /// One source.
        first: String,
        /// The other.
        second: String,
    },
    /// A name below `aaw/`, which belongs to aaw itself.
    #[error("{origin}: the event {name} begins with aaw/, which belongs to aaw itself; rename its file or folder")]
    Reserved {
        /// The name.
        name: EventName,
        /// Where it is.
        origin: String,
    },
    /// With its folder before it a name is none any more.
    #[error("{origin}: {source}")]
    BadName {
        /// Where it is.
        origin: String,
        /// What is wrong with it.
        source: InvalidName,
    },
}

/// The events of all modules, by name.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    events: HashMap<EventName, Event>,
    /// Of the modules that have some, in the order of the modules.
    pub(crate) hooks: Vec<Hooks>,
    /// Delivers the tokens of password resets: of the first module that has one.
    pub(crate) password_reset: Option<(Instance, usize)>,
}

/// What a module runs at the beginning and the end of each connection.
#[derive(Debug)]
pub(crate) struct Hooks {
    pub(crate) instance: Instance,
    /// Their places in the module's table.
    pub(crate) open: Option<usize>,
    pub(crate) close: Option<usize>,
}

/// An event that can be called.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) name: EventName,
    pub(crate) kind: HandlerKind,
    pub(crate) instance: Instance,
    /// Its place in the module's table.
    pub(crate) index: usize,
    /// Whether its handler takes a stream of its caller's.
    pub(crate) takes_upload: bool,
    /// Whether it needs a session.
    pub(crate) protected: bool,
    /// What runs before it, in this order: their places in the module's table.
    pub(crate) guards: Arc<[usize]>,
}

impl Registry {
    /// Checks that the sources go together, before any of them is started.
    pub(crate) fn plan(sources: &[Events]) -> Result<Plan, RegistryError> {
        let mut places: HashMap<EventName, (usize, usize)> = HashMap::new();
        for (source_index, source) in sources.iter().enumerate() {
            for (index, event) in source.module.events().iter().enumerate() {
                let name = full_name(source, &event.name)?;
                if name.is_reserved() {
                    return Err(RegistryError::Reserved { name, origin: source.origin.clone() });
                }
                if let Some((first, _)) = places.insert(name.clone(), (source_index, index)) {
                    let (first, second) = (sources[first].origin.clone(), source.origin.clone());
                    return Err(RegistryError::Twice { name, first, second });
                }
            }
        }
        Ok(Plan { places })
    }

    pub(crate) fn names(&self) -> BTreeSet<EventName> {
        self.events.keys().cloned().collect()
    }

    /// All events, in no order.
    #[cfg(feature = "http")]
    pub(crate) fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.values()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Event> {
        self.events.get(name)
    }
}

/// Names and where their events are, before the modules have been started.
pub(crate) struct Plan {
    places: HashMap<EventName, (usize, usize)>,
}

impl Plan {
    /// The registry, with the started instance of each source, in the order of the sources.
    pub(crate) fn registry(&self, sources: &[Events], instances: &[Instance]) -> Registry {
        let events = self.places.iter().map(|(name, &(source, index))| {
            let listed = &sources[source].module.events()[index];
            let event = Event {
                name: name.clone(),
                kind: listed.kind,
                instance: instances[source].clone(),
                index,
                takes_upload: listed.takes_upload,
                protected: name.is_protected(),
                guards: guards(&sources[source].module, &listed.name),
            };
            (name.clone(), event)
        });
        let hooks = sources.iter().zip(instances).filter_map(|(source, instance)| {
            let (open, close) = (source.module.open_hook(), source.module.close_hook());
            (open.is_some() || close.is_some()).then(|| Hooks { instance: instance.clone(), open, close })
        });
        let mut resets = sources.iter().zip(instances);
        let password_reset =
            resets.find_map(|(source, instance)| Some((instance.clone(), source.module.password_reset_hook()?)));
        Registry { events: events.collect(), hooks: hooks.collect(), password_reset }
    }

    /// What the start-up log lists.
    pub(crate) fn listing(&self, sources: &[Events], with_auth: bool) -> Vec<Listed> {
        let mut listed: Vec<_> = self
            .places
            .iter()
            .map(|(name, &(source, index))| Listed {
                name: name.clone(),
                kind: sources[source].module.events()[index].kind,
                reachable: with_auth || !name.is_protected(),
            })
            .collect();
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        listed
    }
}

/// An event, as the start-up log lists it.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) name: EventName,
    pub(crate) kind: HandlerKind,
    pub(crate) reachable: bool,
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.name, self.kind)?;
        f.write_str(if self.reachable { ")" } else { "; unreachable: authentication is not enabled)" })
    }
}

/// The guards of the folders around an event, outermost first, as the module lists them.
fn guards(module: &Module, event: &EventName) -> Arc<[usize]> {
    module.guards().iter().filter(|guard| guard.guards(event.as_str())).map(|guard| guard.index).collect()
}

fn full_name(source: &Events, name: &EventName) -> Result<EventName, RegistryError> {
    if source.prefix.is_empty() {
        return Ok(name.clone());
    }
    EventName::parse(&format!("{}/{name}", source.prefix))
        .map_err(|bad| RegistryError::BadName { origin: source.origin.clone(), source: bad })
}
