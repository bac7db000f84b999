//! Finds the values of all settings.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use super::arguments::{Flags, ServeArgs, USER_KEYS, UserFlags};
use super::checks;
use super::file::{self, Fingerprint};
use super::nearest;
use super::setting::{Problem, Setting, SettingsError, Source};
use super::table::SETTINGS;
use super::values::Values;

/// Variables with our prefix that are no settings: those of `aaw`, and that of the settings file.
const OTHER_VARIABLES: [&str; 4] = ["AAW_CONFIG", "AAW_PASSWORD", "AAW_TOKEN", "AAW_URL"];

/// The values of all settings, and where each is from.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) values: Values,
    /// In the order of the table.
    pub(super) sources: Vec<Source>,
    /// The settings file, if there is one.
    pub(crate) file: Option<PathBuf>,
    /// That of the file when it was read.
    pub(super) fingerprint: Option<Fingerprint>,
    /// What is suspicious, but no error.
    pub(crate) warnings: Vec<String>,
}

/// Checks the files that settings name, as far as a server cannot start without them.
pub(crate) type CheckFiles = fn(&Settings) -> Result<(), SettingsError>;

/// The variables of the environment.
pub(super) struct Environment<'a> {
    pub(super) get: &'a dyn Fn(&str) -> Option<OsString>,
    pub(super) names: Vec<String>,
}

impl Environment<'_> {
    fn of_process() -> Self {
        let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        Self { get: &|name| env::var_os(name), names: names.collect() }
    }
}

impl Settings {
    /// Loads the settings of a server.
    pub(crate) fn load(args: &ServeArgs) -> Result<Self, SettingsError> {
        Self::find(args.flags(), &Environment::of_process(), None)
    }

    /// Loads the settings that concern users. Other settings may be invalid.
    pub(crate) fn load_for_users(flags: &UserFlags) -> Result<Self, SettingsError> {
        Self::find(flags.flags(), &Environment::of_process(), Some(&USER_KEYS))
    }

    pub(super) fn find(
        flags: &Flags,
        environment: &Environment<'_>,
        only: Option<&[&str]>,
    ) -> Result<Self, SettingsError> {
        let file = flags.file(environment.get);
        // Before the file is read: what changes afterwards is noticed.
        let fingerprint = file.as_deref().and_then(Fingerprint::of);
        let mut problems = Vec::new();
        let mut in_file: Vec<_> = SETTINGS.iter().map(|_| None).collect();
        if let Some(path) = &file {
            match file::read(path) {
                Ok(text) => (in_file, problems) = file::parse(path, &text, &SETTINGS),
                Err(problem) => problems.push(problem),
            }
        }
        let mut settings = Self {
            values: Values::default(),
            sources: vec![Source::Default; SETTINGS.len()],
            file,
            fingerprint,
            warnings: Vec::new(),
        };
        for (index, setting) in SETTINGS.iter().enumerate() {
            let flag = flags.given.iter().find(|(key, _)| *key == setting.key);
            let flag = flag.map(|(_, text)| (text.clone(), Source::Flag(flag_name(setting))));
            let in_file = in_file[index].take().map(|value| (value.text, value.source));
            let variable = variable(setting, environment).unwrap_or_else(|problem| {
                problems.push(problem);
                None
            });
            // The last one takes precedence. The others have to be valid, too: they are used when it is removed.
            for (text, source) in [in_file, variable, flag].into_iter().flatten() {
                match setting.parse(&text).and_then(|value| (setting.set)(&mut settings.values, value)) {
                    Ok(()) => settings.sources[index] = source,
                    Err(expected) => problems.push(invalid(setting, &text, source, &expected)),
                }
            }
        }
        problems.extend(settings.check_variables(environment));
        if problems.is_empty() {
            problems = settings.contradictions();
            settings.warnings.extend(settings.without_effect());
            settings.warnings.extend(checks::why_hashes_are_weak(&settings.values));
        }
        // Those of the file in its order, which is not that of the table, and the others after them.
        problems.sort_by_key(|problem| match problem.source {
            Some(Source::File { line, column, .. }) => (line, column),
            _ => (usize::MAX, 0),
        });
        if let Some(keys) = only {
            problems.retain(|problem| problem.key.is_empty() || keys.contains(&&*problem.key));
        }
        if problems.is_empty() { Ok(settings) } else { Err(SettingsError(problems)) }
    }

    /// Finds variables that are no settings. One whose name is near to that of a setting is an error: with a typo in its name,
    /// a limit would silently not be applied. Others with our prefix are a warning: Kubernetes, for example, sets variables like
    /// `AAW_PORT_1337_TCP` for a service named `aaw`.
    fn check_variables(&mut self, environment: &Environment<'_>) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut unknown: Vec<_> = environment.names.iter().filter_map(|name| name.strip_prefix("AAW_")).collect();
        unknown.sort_unstable();
        for name in unknown {
            let variable = format!("AAW_{name}");
            let is_setting = SETTINGS.iter().any(|setting| setting.variable == variable);
            if is_setting || OTHER_VARIABLES.contains(&&*variable) {
                continue;
            }
            let known = SETTINGS.iter().filter_map(|setting| setting.variable.strip_prefix("AAW_"));
            match nearest::find(name, known) {
                Some(nearest) => problems.push(Problem {
                    source: Some(Source::Variable(variable)),
                    // Belongs to a setting, but to none in particular.
                    key: nearest.to_owned(),
                    message: format!("there is no such setting; did you mean AAW_{nearest}?"),
                }),
                None => self.warnings.push(format!("the environment variable {variable} is no setting")),
            }
        }
        problems
    }

    /// The error of one setting, with where its value is from.
    pub(crate) fn error(&self, key: &'static str, problem: &dyn std::fmt::Display) -> SettingsError {
        let source = SETTINGS.iter().zip(&self.sources).find(|(setting, _)| setting.key == key);
        let source = source.map(|(_, source)| source.clone());
        SettingsError(vec![Problem { source, key: key.to_owned(), message: format!("{key}: {problem}") }])
    }

    /// The settings that have no effect, with where they are from and why. Those with their defaults are left out: they are in the
    /// output of `aaw-server config`, from which files are made.
    fn without_effect(&self) -> Vec<String> {
        let default = Values::default();
        let is_changed = |setting: &Setting| (setting.get)(&self.values) != (setting.get)(&default);
        let changed = SETTINGS.iter().zip(&self.sources).filter(|(setting, _)| is_changed(setting));
        let warnings = changed.filter_map(|(setting, source)| {
            let reason = checks::why_without_effect(setting.key, &self.values)?;
            Some(format!("{} ({source}) has no effect: {reason}", setting.key))
        });
        warnings.collect()
    }

    /// What contradicts each other, with where it is from.
    pub(super) fn contradictions(&self) -> Vec<Problem> {
        let describe = |key: &str| {
            let index = SETTINGS.iter().position(|setting| setting.key == key);
            index.map_or_else(String::new, |index| {
                let text = SETTINGS[index].text(&self.values);
                let text = if text.is_empty() { "none" } else { &text };
                format!("{key} is {text} ({})", self.sources[index])
            })
        };
        let contradictions = checks::find(&self.values).into_iter();
        let problems = contradictions.map(|found| {
            let [first, second] = found.keys.map(describe);
            let message = format!("{first}, and {second}: {}", found.expected);
            Problem { source: None, key: found.keys[0].to_owned(), message }
        });
        problems.collect()
    }
}

/// How a flag is named in messages.
fn flag_name(setting: &Setting) -> String {
    if setting.is_positional { "[EVENTS]".into() } else { format!("--{}", setting.flag) }
}

/// The text of a setting's variable. An empty variable counts as unset.
fn variable(setting: &Setting, environment: &Environment<'_>) -> Result<Option<(String, Source)>, Problem> {
    let names = [Some(&*setting.variable), setting.other_variable].into_iter().flatten();
    let mut set = names.filter_map(|name| Some((name, (environment.get)(name).filter(|text| !text.is_empty())?)));
    let Some((name, text)) = set.next() else { return Ok(None) };
    let source = Source::Variable(name.to_owned());
    match text.into_string() {
        Ok(text) => Ok(Some((text, source))),
        Err(text) => Err(invalid(setting, &text.to_string_lossy(), source, "expected UTF-8")),
    }
}

fn invalid(setting: &Setting, text: &str, source: Source, expected: &str) -> Problem {
    /// The longest part of a value in a message, in characters.
    const MAX_SHOWN: usize = 60;
    let key = setting.key;
    let shown: String = text.chars().take(MAX_SHOWN).collect();
    let ellipsis = if shown.len() < text.len() { "…" } else { "" };
    let message = format!("{key}: invalid value \"{}{ellipsis}\": {expected}", shown.escape_debug());
    Problem { source: Some(source), key: key.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aaw_server::Config;

    use super::super::choices::WatchMode;
    use super::*;

    /// Loads settings from flags, variables and the text of a file.
    fn load(flags: &[(&'static str, &str)], variables: &[(&str, &str)], file: &str) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aaw.toml");
        std::fs::write(&path, file).unwrap();
        let given = flags.iter().map(|(key, text)| (*key, (*text).to_owned())).collect();
        let get = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, text)| text.into());
        let names = variables.iter().map(|(name, _)| (*name).to_owned()).collect();
        let loaded = Settings::find(&Flags { file: Some(path), given }, &Environment { get: &get, names }, None);
        loaded.map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
    }

    fn source(settings: &Settings, key: &str) -> String {
        let index = SETTINGS.iter().position(|setting| setting.key == key).unwrap();
        settings.sources[index].to_string()
    }

    #[test]
    fn a_flag_precedes_a_variable_and_that_the_file_and_that_the_default() {
        let file = "max_connections = 3\nport = 3\nhost = '::'\n[http]\nmax_cursors = 3";
        let variables = [("AAW_MAX_CONNECTIONS", "2"), ("AAW_PORT", "2"), ("AAW_HOST", "")];
        let loaded = load(&[("max_connections", "1")], &variables, file).unwrap();
        let config = &loaded.values.config;
        assert_eq!((config.max_connections, config.port, config.http.max_cursors), (1, 2, 3));
        assert_eq!(config.host, "::", "an empty variable counts as unset");
        assert_eq!(config.max_rooms, Config::default().max_rooms);
        assert_eq!(source(&loaded, "max_connections"), "flag --max-connections");
        assert_eq!(source(&loaded, "port"), "environment variable AAW_PORT");
        assert!(
            source(&loaded, "http.max_cursors").ends_with("aaw.toml:5:15"),
            "{}",
            source(&loaded, "http.max_cursors")
        );
        assert_eq!(source(&loaded, "max_rooms"), "default");
    }

    #[test]
    fn each_form_of_a_value_is_read_from_the_file() {
        let file = "allow_origins = ['https://a.example', '*']\nmax_message_bytes = '2 MiB'\nmax_upload_bytes = 0x1000_0000\n\
                    write_timeout = 'never'\nwatch = true\n\
                    [auth]\nfile = 'u.sqlite'\nallow_registration = false\nresets_per_email = '5 then 1 per 1m'";
        let Values { config, auth, program, .. } = load(&[], &[], file).unwrap().values;
        assert_eq!(
            (config.allow_origins.len(), config.max_message_bytes, config.max_upload_bytes),
            (2, 2 << 20, 1 << 28)
        );
        assert_eq!((config.write_timeout, auth.allow_registration), (Duration::MAX, false));
        assert_eq!((auth.resets_per_email.burst, auth.resets_per_email.refill_interval), (5, Duration::from_secs(60)));
        assert_eq!((program.auth_file, program.watch), (Some("u.sqlite".into()), Some(WatchMode::Auto)));
    }

    #[test]
    fn the_bounds_of_hashing_passwords_are_settings_with_checks() {
        let section = "[auth]\nfile = 'u.sqlite'\n";
        let all = "password_memory_kib = 65536\npassword_iterations = 3\npassword_threads = 4\nmax_queued_hashes = 7";
        let loaded = load(&[("auth.password_threads", "2")], &[], &format!("{section}{all}")).unwrap();
        let passwords = &loaded.values.passwords;
        assert_eq!((passwords.memory_kib, passwords.iterations), (65536, 3));
        assert_eq!((passwords.threads, passwords.max_queued_hashes), (Some(2), 7));
        assert_eq!(loaded.warnings, [""; 0]);
        let fails = |line: &str, expected: &str| {
            let error = load(&[], &[], &format!("{section}{line}")).unwrap_err();
            assert!(error.contains(&format!("aaw.toml:3:{expected}")), "expected {expected:?} in {error}");
        };
        fails(
            "password_memory_kib = 7",
            "23: auth.password_memory_kib: invalid value \"7\": expected a whole number from 8 to 1048576",
        );
        fails("password_memory_kib = 1048577", "23: auth.password_memory_kib: invalid value");
        fails(
            "password_iterations = 0",
            "23: auth.password_iterations: invalid value \"0\": expected a whole number from 1 to 1000",
        );
        fails(
            "password_threads = 0",
            "20: auth.password_threads: invalid value \"0\": expected a whole number from 1 to 1024, or auto",
        );
        fails(
            "max_queued_hashes = 0",
            "21: auth.max_queued_hashes: invalid value \"0\": expected a whole number from 1 to 1048576",
        );
        let costly = load(&[], &[], &format!("{section}password_iterations = 1000")).unwrap_err();
        assert!(
            costly.contains("auth.password_iterations is 1000 (aaw.toml:3:23): their product must be at most"),
            "{costly}"
        );
        let weak = load(&[], &[], &format!("{section}password_memory_kib = 8192")).unwrap().warnings.join("\n");
        assert!(weak.contains("auth.password_memory_kib is 8192 and auth.password_iterations is 2"), "{weak}");
    }

    #[test]
    fn words_for_yes_and_no_switch_what_has_an_optional_value() {
        let auth =
            |word: &str| load(&[], &[("AAW_AUTH", word)], "[auth]\nfile = 'x'").unwrap().values.program.auth_file;
        for word in ["false", "Off", "0", "no"] {
            assert_eq!(auth(word), None, "{word}");
        }
        for word in ["true", "ON", "1", "yes"] {
            assert_eq!(auth(word), Some("aaw-auth.sqlite".into()), "{word}");
        }
    }

    #[test]
    fn rust_log_is_read_after_the_variable_of_its_own() {
        let level =
            |variables: &[(&str, &str)]| load(&[], variables, "log_level = 'warn'").unwrap().values.program.log_level;
        assert_eq!(level(&[]), "warn");
        assert_eq!(level(&[("RUST_LOG", "debug")]), "debug");
        assert_eq!(level(&[("RUST_LOG", "debug"), ("AAW_LOG_LEVEL", "error")]), "error");
    }

    #[test]
    fn all_problems_are_reported_with_their_places() {
        let file = "prot = 3\nmax_connections = 0\nhttp = 3\nhost = 1.5\nstatic = 'x'\n[auht]\n[auth]\nsecret = 'hunter2'\nfile = 'u'\n";
        let error = load(&[], &[("AAW_PORT", "x"), ("AAW_MAX_CONECTIONS", "1")], file).unwrap_err();
        let expected = [
            "aaw.toml:1:1: unknown key prot; did you mean port?",
            "aaw.toml:2:19: max_connections: invalid value \"0\": expected a whole number of at least 1",
            "aaw.toml:3:1: expected a section, [http], or keys such as http.NAME",
            "aaw.toml:4:8: host: expected a text that is not empty",
            "aaw.toml:5:1: unknown key static; did you mean http.static_dir?",
            "aaw.toml:6:2: unknown section [auht]; did you mean auth?",
            "aaw.toml:8:1: unknown key auth.secret; `aaw-server config` prints all settings",
            "environment variable AAW_PORT: port: invalid value \"x\": expected a whole number from 0 to 65535",
            "environment variable AAW_MAX_CONECTIONS: there is no such setting; did you mean AAW_MAX_CONNECTIONS?",
        ];
        assert_eq!(error.lines().collect::<Vec<_>>(), expected);
        let overridden = load(&[], &[("AAW_PORT", "1")], "port = 70_000").unwrap_err();
        assert_eq!(overridden, "aaw.toml:1:8: port: invalid value \"70000\": expected a whole number from 0 to 65535");
        let syntax = load(&[], &[], "port = 1\nhost = \"hunter2").unwrap_err();
        assert!(syntax.starts_with("aaw.toml:2:") && !syntax.contains("hunter2"), "{syntax}");
    }

    #[test]
    fn a_variable_without_resemblance_is_a_warning() {
        let loaded = load(&[], &[("AAW_PORT_1337_TCP", "x"), ("AAW_PASSWORD", "x"), ("OTHER", "x")], "").unwrap();
        assert_eq!(loaded.warnings, ["the environment variable AAW_PORT_1337_TCP is no setting"]);
    }

    #[test]
    fn values_that_contradict_each_other_are_named_with_their_sources() {
        let error = load(&[], &[("AAW_MAX_MESSAGE_BYTES", "8 MiB")], "max_upload_bytes = 1").unwrap_err();
        let lines: Vec<_> = error.lines().collect();
        assert_eq!(
            lines,
            [
                "max_held_bytes is 4 MiB (default), and max_message_bytes is 8 MiB (environment variable \
                 AAW_MAX_MESSAGE_BYTES): a connection must be able to hold a message of the largest size",
                "max_upload_bytes is 1 (aaw.toml:1:20), and max_message_bytes is 8 MiB (environment variable \
                 AAW_MAX_MESSAGE_BYTES): an upload must be able to buffer an item of the largest size",
            ]
        );
    }

    #[test]
    fn limits_under_which_a_stranger_could_void_a_password_reset_are_refused() {
        let lifetime = |text: &str| load(&[("auth.file", "users.sqlite")], &[("AAW_AUTH_RESET_LIFETIME", text)], "");
        lifetime("14d").unwrap();
        let error = lifetime("30d").unwrap_err();
        assert_eq!(
            error,
            "auth.resets_per_email is 15 then 1 per 60s (default), and auth.reset_lifetime is 30days (environment variable \
             AAW_AUTH_RESET_LIFETIME): at most 32768 resets of one address may be possible within the lifetime of one, so that \
             none voids another\n\
             auth.resets_per_email_and_ip is 3 then 1 per 5m (default), and auth.reset_lifetime is 30days (environment variable \
             AAW_AUTH_RESET_LIFETIME): at most 4096 resets of one address may be possible within the lifetime of one, so that \
             none voids another"
        );
        let file = "[auth]\nresets_per_email = '5000 then 1 per 1s'\nresets_per_email_and_ip = '5000 then 1 per 1h'";
        let error = load(&[("auth.file", "users.sqlite")], &[], file).unwrap_err();
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.starts_with("auth.resets_per_email_and_ip is 5000 then 1 per 1h (aaw.toml:3:27)"), "{error}");
    }

    #[test]
    fn settings_without_effect_are_named_with_their_sources() {
        let warnings = |flags: &[(&'static str, &str)], file: &str| load(flags, &[], file).unwrap().warnings;
        let acme = "[tls]\ncache = 'x'\nemail = 'a@b.example'\ndirectory = 'https://ca.example/dir'";
        let expected = [
            "tls.cache (aaw.toml:2:9) has no effect: it is for certificates by ACME, and tls.hosts (--tls) is empty",
            "tls.email (aaw.toml:3:9) has no effect: it is for certificates by ACME, and tls.hosts (--tls) is empty",
            "tls.directory (aaw.toml:4:13) has no effect: it is for certificates by ACME, and tls.hosts (--tls) is empty",
        ];
        let found: Vec<_> = warnings(&[], acme).iter().map(|warning| at_file(warning)).collect();
        assert_eq!(found, expected);
        assert_eq!(warnings(&[("tls.hosts", "a.example")], acme), [""; 0]);

        let one = |key: &'static str, text: &str, others: &[(&'static str, &str)]| {
            warnings(&[&[(key, text)], others].concat(), "").join("\n")
        };
        for (key, text, with) in [
            ("auth.session_lifetime", "1h", ("auth.file", "users.sqlite")),
            ("auth.failed_logins_per_ip", "1 then 1 per 1h", ("auth.file", "users.sqlite")),
            ("forwarded_header", "forwarded", ("trusted_proxies", "127.0.0.1")),
            ("port", "7", ("listen", "127.0.0.1")),
            ("unix_socket_mode", "600", ("listen", "unix:/run/x.sock")),
            ("log_body_limit", "7", ("log", "json")),
            ("replaced_events_timeout", "7s", ("watch", "auto")),
            ("max_http2_streams", "7", ("tls.hosts", "a.example")),
        ] {
            let others: &[_] = if key == "port" { &[("listen", "127.0.0.1:8")] } else { &[] };
            let warning = one(key, text, others);
            assert!(warning.starts_with(&format!("{key} (flag --")) && warning.contains("has no effect"), "{warning}");
            assert_eq!(one(key, text, &[with]), "", "{key}");
        }
        for (key, text, with) in [
            ("host", "::", ("listen", "127.0.0.1")),
            ("call_rate_per_address", "7", ("contention_delay", "never")),
            ("max_away_connections", "7", ("resumption_window", "0s")),
            ("max_missed_heartbeats", "7", ("heartbeat_interval", "never")),
            ("auth.bearer_tokens", "true", ("auth.own_log_ins", "true")),
        ] {
            // A value that is the default has none to warn about.
            let is_default = key == "auth.bearer_tokens";
            assert_eq!(one(key, text, &[with]).contains(&format!("{key} (flag --")), !is_default, "{key}");
            assert_eq!(one(key, text, &[]), "", "{key}");
        }
    }

    /// A message without the folder of the file.
    fn at_file(message: &str) -> String {
        let (before, rest) = message.split_once('(').unwrap();
        let (path, after) = rest.split_once("aaw.toml").unwrap();
        assert!(path.starts_with('/'), "{message}");
        format!("{before}(aaw.toml{after}")
    }

    #[test]
    fn every_setting_is_valid_by_default_and_documented() {
        for setting in SETTINGS.iter() {
            let text = setting.text(&Values::default());
            let value = setting.parse(&text).unwrap_or_else(|error| panic!("{} = {text:?}: {error}", setting.key));
            assert_eq!(value, (setting.get)(&Values::default()), "{}", setting.key);
            let documentation = setting.documentation(&SETTINGS);
            assert!(
                documentation.contains("efault"),
                "{} has no documentation with its default: {documentation:?}",
                setting.key
            );
            assert!(!documentation.contains(['[', ']']), "{}: {documentation}", setting.key);
            let same = SETTINGS.iter().filter(|other| other.flag == setting.flag || other.key == setting.key);
            assert_eq!(same.count(), 1, "{} or its flag is used twice", setting.key);
        }
        assert_eq!(checks::find(&Values::default()).len(), 0);
    }
}
