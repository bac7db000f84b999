//! Applies changed settings to a running server: at SIGHUP, and when the file has changed.
//!
//! A change is applied whole or not at all. The file is looked at once a second, which works on every file system, and for files
//! that are replaced by a rename or through a link. It is read when it has not changed between two looks, so that a file is not
//! read while it is written.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aaw_server::Handle;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::arguments::ServeArgs;
use super::file::Fingerprint;
use super::load::{CheckFiles, Settings};
use super::setting::SettingsError;
use super::table::SETTINGS;
use crate::file_limit;

/// How often the file is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// Sets the level of the log.
pub(crate) type SetLogLevel = Box<dyn Fn(&str) -> Result<(), String> + Send>;

/// Applies changed settings to a running server.
pub(crate) struct Reloader {
    pub(crate) args: ServeArgs,
    /// The settings that the server has now.
    pub(crate) settings: Settings,
    pub(crate) server: Handle,
    pub(crate) set_log_level: SetLogLevel,
    /// For settings of files that have changed, so that the next start does not fail.
    pub(crate) check_files: CheckFiles,
    /// The time after which the program ends itself when it does not stop.
    pub(crate) shutdown_timeout: Arc<Mutex<Duration>>,
}

impl Reloader {
    /// Applies changes of the file, and its content whenever `requested` is notified. Never returns.
    pub(crate) async fn run(mut self, file: PathBuf, requested: Arc<Notify>) {
        let mut looks = interval(INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The program may have built events since the settings were read.
        let mut applied = self.settings.fingerprint;
        let mut seen = applied;
        loop {
            let is_requested = tokio::select! {
                () = requested.notified() => true,
                _ = looks.tick() => false,
            };
            let now = look_at(file.clone()).await;
            let is_stable = now == seen;
            seen = now;
            if is_requested || (is_stable && now != applied) {
                applied = now;
                self.reload(&file).await;
            }
        }
    }

    async fn reload(&mut self, file: &Path) {
        let (args, check_files) = (self.args.clone(), self.check_files);
        let running_tls = self.settings.values.program.tls.clone();
        let load = move || {
            let new = Settings::load(&args)?;
            // Of the files in use, the server reports each change by itself.
            if new.values.program.tls != running_tls {
                check_files(&new)?;
            }
            Ok(new)
        };
        let loaded = match spawn_blocking(load).await {
            Ok(loaded) => loaded,
            // The program is ending.
            Err(_) => return,
        };
        if let Err(error) = loaded.and_then(|new: Settings| self.apply(new)) {
            for problem in error.0 {
                tracing::error!("keeping the previous settings: {problem}");
            }
        } else {
            tracing::info!("reloaded the settings from {}", file.display());
        }
    }

    /// Applies what can change, and logs what cannot.
    fn apply(&mut self, new: Settings) -> Result<(), SettingsError> {
        let mut merged = self.settings.clone();
        let (mut applied, mut waiting) = (Vec::new(), Vec::new());
        for (index, setting) in SETTINGS.iter().enumerate() {
            let (was, value) = ((setting.get)(&self.settings.values), (setting.get)(&new.values));
            if was == value {
                merged.sources[index] = new.sources[index].clone();
                continue;
            }
            let (was, to) = (setting.text(&self.settings.values), setting.text(&new.values));
            let change = format!("{} from {was:?} to {to:?} ({})", setting.key, new.sources[index]);
            if setting.is_live {
                // The value is valid, as it was set in `new`.
                let _ = (setting.set)(&mut merged.values, value);
                merged.sources[index] = new.sources[index].clone();
                applied.push(change);
            } else {
                waiting.push(change);
            }
        }
        // What is applied may contradict what needs a restart.
        let contradictions = merged.contradictions();
        if !contradictions.is_empty() {
            return Err(SettingsError(contradictions));
        }
        // Each connection takes an open file, so the server may have fewer than the settings say.
        let mut config = merged.values.config.clone();
        config.max_connections = match config.max_connections {
            same if same == self.settings.values.config.max_connections => self.server.config().max_connections,
            changed => file_limit::raise(changed),
        };
        // The server keeps its store. Without stored users, the settings of `auth` concern nothing.
        config.auth = merged.values.program.auth_file.as_ref().map(|_| merged.values.auth.clone());
        self.server.update_config(config);
        *self.shutdown_timeout.lock().unwrap_or_else(PoisonError::into_inner) = merged.values.config.shutdown_timeout;
        if merged.values.program.log_level != self.settings.values.program.log_level
            && let Err(error) = (self.set_log_level)(&merged.values.program.log_level)
        {
            tracing::error!("cannot set the level of the log: {error}");
        }
        self.settings = merged;
        for change in applied {
            tracing::info!("changed the setting {change}");
        }
        for change in waiting {
            tracing::warn!("a restart is needed to change the setting {change}");
        }
        for warning in new.warnings {
            tracing::warn!("{warning}");
        }
        Ok(())
    }
}

async fn look_at(file: PathBuf) -> Option<Fingerprint> {
    // A file system may be stuck.
    spawn_blocking(move || Fingerprint::of(&file)).await.ok().flatten()
}
