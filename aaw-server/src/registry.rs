//! The table of all events. It is built once from all modules, and replaced as a whole while calls run.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aaw_event::Module;
use aaw_event::contract::Contract;
use aaw_event::host::{HandlerKind, Instance};
use aaw_protocol::{EventName, Failure, InvalidName, is_protected, is_reserved};
use foldhash::fast::RandomState;

use crate::contract::{ContractBuilder, ServerContract};
use crate::generation::Generation;
use crate::similar_names::SimilarNames;

/// A module whose events a [`Server`](crate::Server) serves, with the prefix of their names.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Events {
    /// The module, which contains the events.
    pub module: Module,
    /// The prefix of each name, such as `shop/orders` for `shop/orders/get`; empty for none.
    pub prefix: String,
    /// Where the module comes from, for messages: the path of a library, or the name of a package.
    pub origin: String,
}

impl Events {
    /// Serves the events of a module under their own names.
    pub fn new(module: Module) -> Self {
        let origin = format!("the package {}", module.package());
        Self { module, prefix: String::new(), origin }
    }

    /// Sets the prefix of each name: with `under("shop")`, `get` becomes the event `shop/get`.
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

/// Why events cannot be served together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// Two events have the same name.
    #[error("duplicate event {name}: defined in {first} and in {second}")]
    Duplicate {
        /// The name.
        name: EventName,
        /// Where the first event comes from.
        first: String,
        /// Where the second event comes from.
        second: String,
    },
    /// The name of an event is `aaw` or starts with `aaw/`, which is reserved.
    #[error(
        "{origin}: the event name {name} is reserved: aaw and names under aaw/ belong to aaw; rename the file or folder"
    )]
    Reserved {
        /// The name.
        name: EventName,
        /// Where the event comes from.
        origin: String,
    },
    /// A name is invalid once its prefix is added.
    #[error("{origin}: {source}")]
    InvalidName {
        /// Where the event comes from.
        origin: String,
        /// The reason.
        source: InvalidName,
    },
}

/// The events of all modules, by name.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    /// Not std's hash, which takes a few per cent of a call: clients choose the names that are looked up, but not those in
    /// the table, so they cannot fill it with names that collide.
    events: HashMap<EventName, RegisteredEvent, RandomState>,
    /// The names that the error about an unknown one suggests: not those of protected events, which the list of events
    /// does not contain either.
    public_names: SimilarNames,
    /// The calls of these events belong to it.
    pub(crate) generation: Arc<Generation>,
    /// The connection hooks of each module that has any, in the order of the modules.
    pub(crate) hooks: Vec<ModuleHooks>,
    /// The hook that delivers the tokens of password resets, of the first module that has one.
    pub(crate) password_reset: Option<(Instance, usize)>,
    /// Whether handlers of a module read the HTTP request behind their call, so that it has to be kept.
    pub(crate) reads_handshakes: bool,
    /// What the events take and return.
    pub(crate) contract: ServerContract,
    /// The modules with runtimes of their own, up to [`MAX_ENTERED`] of them.
    with_runtime: Vec<Instance>,
}

/// The runtimes that are entered for a batch of calls. Each costs as much as entering it for one call, so with many of
/// them it would cost more than it saves.
const MAX_ENTERED: usize = 4;

/// The hooks of a module that run for connections.
#[derive(Debug)]
pub(crate) struct ModuleHooks {
    pub(crate) instance: Instance,
    /// Indices in the module's table.
    pub(crate) open: Option<usize>,
    pub(crate) close: Option<usize>,
    pub(crate) resume: Option<usize>,
    pub(crate) away: Option<usize>,
    pub(crate) back: Option<usize>,
}

impl ModuleHooks {
    /// Returns the hooks of a module; `None` if it has none of these.
    fn of(module: &Module, instance: &Instance) -> Option<Self> {
        let hooks = Self {
            instance: instance.clone(),
            open: module.open_hook(),
            close: module.close_hook(),
            resume: module.resume_hook(),
            away: module.away_hook(),
            back: module.back_hook(),
        };
        let all = [hooks.open, hooks.close, hooks.resume, hooks.away, hooks.back];
        all.iter().any(Option::is_some).then_some(hooks)
    }
}

/// An event that can be called.
#[derive(Debug)]
pub(crate) struct RegisteredEvent {
    pub(crate) name: EventName,
    pub(crate) kind: HandlerKind,
    pub(crate) instance: Instance,
    /// The index in the module's table.
    pub(crate) index: usize,
    /// Whether the handler reads an upload.
    pub(crate) takes_upload: bool,
    /// Whether the caller needs a session.
    pub(crate) protected: bool,
    /// How long the handler may run; `None` for the server's limit.
    pub(crate) max_call_time: Option<Duration>,
    cost: u32,
    allows_get: bool,
    /// The guards that run before the handler, in this order, as indices in the module's table.
    pub(crate) guards: Arc<[usize]>,
}

impl RegisteredEvent {
    /// How much of its caller's rate limit a call uses; 0 for an event whose calls are not counted.
    #[allow(dead_code, reason = "what reads it depends on the features")]
    pub(crate) fn cost(&self) -> u32 {
        self.cost
    }

    /// Whether a GET request may start the stream, as an `EventSource` does.
    #[allow(dead_code, reason = "what reads it depends on the features")]
    pub(crate) fn allows_get(&self) -> bool {
        self.allows_get
    }
}

impl Registry {
    /// Checks that the events can be served together, before any module is started.
    pub(crate) fn plan(sources: &[Events]) -> Result<RegistryPlan, RegistryError> {
        let mut positions: HashMap<EventName, (usize, usize)> = HashMap::new();
        for (source_index, source) in sources.iter().enumerate() {
            for (index, event) in source.module.events().iter().enumerate() {
                let name = full_name(source, &event.name)?;
                if name.is_reserved() {
                    return Err(RegistryError::Reserved { name, origin: source.origin.clone() });
                }
                if let Some((first, _)) = positions.insert(name.clone(), (source_index, index)) {
                    let (first, second) = (sources[first].origin.clone(), source.origin.clone());
                    return Err(RegistryError::Duplicate { name, first, second });
                }
            }
        }
        Ok(RegistryPlan { positions })
    }

    /// The events of one module, which has no services.
    #[cfg(test)]
    pub(crate) async fn for_test(module: Module) -> Self {
        let modules = Arc::<crate::module_host::Modules>::default();
        let instance = module.start(modules.host()).await.expect("it has no services");
        let sources = [Events::new(module)];
        Self::plan(&sources).expect("the names are unique").registry(&sources, &[instance])
    }

    pub(crate) fn names(&self) -> BTreeSet<EventName> {
        self.events.keys().cloned().collect()
    }

    /// Returns all events in arbitrary order.
    pub(crate) fn events(&self) -> impl Iterator<Item = &RegisteredEvent> {
        self.events.values()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&RegisteredEvent> {
        self.events.get(name)
    }

    /// Runs `f`, which begins a batch of calls, within the runtimes of the modules that have one.
    pub(crate) fn within_runtimes<R>(&self, f: impl FnOnce() -> R) -> R {
        fn within(instances: &[Instance], f: &mut dyn FnMut()) {
            match instances {
                [] => f(),
                [first, others @ ..] => first.within_runtime(|| within(others, f)),
            }
        }
        let (mut f, mut result) = (Some(f), None);
        within(&self.with_runtime, &mut || result = f.take().map(|f| f()));
        result.expect("each level calls the next one once")
    }

    /// The failure of a call whose event does not exist. Its data has the names of similar events.
    pub(crate) fn unknown_event(&self, name: &str) -> Failure {
        #[derive(serde::Serialize)]
        struct Suggestions<'a> {
            did_you_mean: Vec<&'a str>,
        }
        let failure = Failure::unknown_event(name);
        if is_reserved(name) {
            return failure;
        }
        let did_you_mean = self.public_names.find(name);
        if did_you_mean.is_empty() {
            return failure;
        }
        Failure { data: serde_json::value::to_raw_value(&Suggestions { did_you_mean }).ok(), ..failure }
    }
}

/// The names of all events, checked, before the modules are started.
pub(crate) struct RegistryPlan {
    /// The index of the module, and the index of the event in the module's table.
    positions: HashMap<EventName, (usize, usize)>,
}

impl RegistryPlan {
    /// Builds the registry from the started instances of the modules, which are in the order of `sources`.
    pub(crate) fn registry(&self, sources: &[Events], instances: &[Instance]) -> Registry {
        let events = self.positions.iter().map(|(name, &(source, index))| {
            let entry = &sources[source].module.events()[index];
            let event = RegisteredEvent {
                name: name.clone(),
                kind: entry.kind,
                instance: instances[source].clone(),
                index,
                takes_upload: entry.takes_upload,
                max_call_time: entry.max_call_time,
                cost: entry.cost,
                allows_get: entry.allows_get,
                protected: name.is_protected(),
                guards: guards(&sources[source].module, &entry.name),
            };
            (name.clone(), event)
        });
        let hooks =
            sources.iter().zip(instances).filter_map(|(source, instance)| ModuleHooks::of(&source.module, instance));
        let mut resets = sources.iter().zip(instances);
        let password_reset =
            resets.find_map(|(source, instance)| Some((instance.clone(), source.module.password_reset_hook()?)));
        let public_names =
            SimilarNames::new(self.positions.keys().map(EventName::as_str).filter(|name| !is_protected(name)));
        let with_runtime = instances.iter().filter(|instance| instance.has_runtime());
        let with_runtime = with_runtime.take(MAX_ENTERED).cloned().collect();
        Registry {
            events: events.collect(),
            public_names,
            generation: Arc::default(),
            hooks: hooks.collect(),
            password_reset,
            reads_handshakes: sources.iter().any(|source| source.module.reads_handshakes()),
            contract: contract(&self.positions, sources),
            with_runtime,
        }
    }

    /// Returns all events sorted by name, for the log.
    pub(crate) fn listing(&self, sources: &[Events], with_auth: bool) -> Vec<EventListing> {
        let mut listed: Vec<_> = self
            .positions
            .iter()
            .map(|(name, &(source, index))| EventListing {
                name: name.clone(),
                kind: sources[source].module.events()[index].kind,
                reachable: with_auth || !name.is_protected(),
            })
            .collect();
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        listed
    }
}

/// An event as the log lists it.
#[derive(Debug, Clone)]
pub(crate) struct EventListing {
    pub(crate) name: EventName,
    pub(crate) kind: HandlerKind,
    pub(crate) reachable: bool,
}

impl fmt::Display for EventListing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.name, self.kind)?;
        f.write_str(if self.reachable { ")" } else { "; unreachable: authentication is not enabled)" })
    }
}

/// Returns the guards of the folders that contain an event, outermost first, which is the module's order.
fn guards(module: &Module, event: &EventName) -> Arc<[usize]> {
    module.guards().iter().filter(|guard| guard.guards(event.as_str())).map(|guard| guard.index).collect()
}

/// Describes the events. One whose package cannot describe it is described without schemas.
fn contract(positions: &HashMap<EventName, (usize, usize)>, sources: &[Events]) -> ServerContract {
    let mut builder = ContractBuilder::default();
    let mut of_sources = Vec::new();
    for source in sources {
        let mut contract = match source.module.contract() {
            Ok(contract) => contract.unwrap_or_default(),
            Err(failure) => {
                tracing::warn!("{}: its types have no schemas: {}", source.origin, failure.error);
                Contract::default()
            }
        };
        builder.add_definitions(&mut contract);
        of_sources.push(contract);
    }
    for (name, &(source, index)) in positions {
        let event = &sources[source].module.events()[index];
        let described = of_sources[source].events.remove(event.name.as_str()).unwrap_or_default();
        builder.add_event(name.clone(), event.kind, described);
    }
    builder.finish()
}

fn full_name(events: &Events, name: &EventName) -> Result<EventName, RegistryError> {
    if events.prefix.is_empty() {
        return Ok(name.clone());
    }
    EventName::parse(&format!("{}/{name}", events.prefix))
        .map_err(|source| RegistryError::InvalidName { origin: events.origin.clone(), source })
}
