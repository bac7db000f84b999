//! All settings. Those of `Config`, `HttpConfig` and `Auth` are in the library's table, `aaw-server/src/config/table.rs`; those
//! of the program are here.

use std::sync::LazyLock;

use aaw_server::Config;
use aaw_server::auth::Auth;
use aaw_server::config::HttpConfig;

use super::choices::{DEFAULT_STORE, WATCH};
use super::field::Field as _;
use super::kind::{ANY, FINITE, Kind, MAX, POSITIVE};
use super::setting::{Doc, Setting};
use super::values::Program;

/// All settings, in the order of the file: those without a section first.
pub(super) static SETTINGS: LazyLock<Vec<Setting>> = LazyLock::new(|| {
    let mut settings = program_settings();
    settings.extend(config_settings());
    settings.extend(password_settings());
    // Stable: within a section the order stays.
    settings.sort_by_key(|setting| match setting.section_and_name().0 {
        "" => 0,
        "tls" => 1,
        "http" => 2,
        _ => 3,
    });
    settings
});

macro_rules! is_live {
    (live) => {
        true
    };
    (restart) => {
        false
    };
}

/// Makes a setting of a field.
macro_rules! setting {
    ($key:expr, $when:ident, $kind:expr, $doc:expr, $($path:ident).+) => {
        Setting::new(
            $key,
            $kind,
            is_live!($when),
            $doc,
            |values| values.$($path).+.value(),
            |values, value| values.$($path).+.set(value),
        )
    };
}

macro_rules! define_settings {
    (
        Config { $($field:ident: $when:ident, $kind:ident $(($($bound:tt)*))? $(. $option:ident($($value:tt)*))*;)* }
        HttpConfig { $($http:ident: $http_when:ident, $http_kind:ident $(($($http_bound:tt)*))? $(. $http_option:ident($($http_value:tt)*))*;)* }
        Auth { $($auth:ident: $auth_when:ident, $auth_kind:ident $(($($auth_bound:tt)*))? $(. $auth_option:ident($($auth_value:tt)*))*;)* }
    ) => {
        fn config_settings() -> Vec<Setting> {
            vec![
                $(setting!(
                    stringify!($field), $when, Kind::$kind $(($($bound)*))?,
                    Doc::Field("Config", stringify!($field)), config.$field
                ) $(.$option($($value)*))*,)*
                $(setting!(
                    concat!("http.", stringify!($http)), $http_when, Kind::$http_kind $(($($http_bound)*))?,
                    Doc::Field("HttpConfig", stringify!($http)), config.http.$http
                ) $(.$http_option($($http_value)*))*,)*
                $(setting!(
                    concat!("auth.", stringify!($auth)), $auth_when, Kind::$auth_kind $(($($auth_bound)*))?,
                    Doc::Field("Auth", stringify!($auth)), auth.$auth
                ) $(.$auth_option($($auth_value)*))*,)*
            ]
        }

        /// Does not compile while a field is missing in the table.
        #[expect(dead_code, reason = "the patterns are the check")]
        fn has_every_field(config: Config, auth: Auth) {
            let Config { $($field: _,)* auth: _, tls: _, http: HttpConfig { $($http: _,)* } } = config;
            let Auth { $($auth: _,)* store: _, on_password_reset: _ } = auth;
        }
    };
}

aaw_server::__config_table!(define_settings);

/// The settings of `PasswordHasherConfig`. Its hasher belongs to the store, which is opened once.
fn password_settings() -> Vec<Setting> {
    macro_rules! setting_of_passwords {
        ($key:expr, $kind:expr, $field:ident) => {
            setting!($key, restart, $kind, Doc::Field("PasswordHasherConfig", stringify!($field)), passwords.$field)
        };
    }
    vec![
        // Argon2 takes at least 8 KiB, and stored hashes at most 1 GiB. A hash of more passes would take minutes.
        setting_of_passwords!("auth.password_memory_kib", Kind::Number(8, 1 << 20), memory_kib),
        setting_of_passwords!("auth.password_iterations", Kind::Number(1, 1000), iterations),
        setting_of_passwords!("auth.password_threads", Kind::NumberOrAuto(1, 1024), threads),
        setting_of_passwords!("auth.max_queued_hashes", Kind::Number(1, 1 << 20), max_queued_hashes),
    ]
}

fn program_settings() -> Vec<Setting> {
    const LOG: Kind = Kind::Choice(&["pretty", "json", "off"]);
    const WATCH_MODES: Kind = Kind::Choice(&["off", "auto", "poll"]);
    // A field that is missing in this pattern is missing below.
    let _ = |program: Program| {
        let Program {
            events: _,
            auth_file: _,
            own_log_ins: _,
            tls: _,
            watch: _,
            log: _,
            log_level: _,
            log_body_limit: _,
        } = program;
    };
    vec![
        setting!(
            "events",
            restart,
            Kind::Path,
            Doc::Text(
                "The events to serve: an events package (a folder with a Cargo.toml), which is built first, or a folder of \
                 built libraries. Default: events, or the current folder if that is a package without an events folder."
            ),
            program.events
        )
        .positional()
        .common(),
        setting!(
            "log",
            restart,
            LOG,
            Doc::Text(
                "What to log, and in which format: pretty (messages for people, to standard error), json (messages as JSON to \
                 standard error, and one line of JSON per finished call to standard output), or off (only cargo's output, and \
                 why the server did not start). Default pretty."
            ),
            program.log
        )
        .common(),
        setting!(
            "log_level",
            live,
            Kind::LogLevel,
            Doc::Text(
                "The level of the log, in the form of RUST_LOG, which is read if AAW_LOG_LEVEL is not set: error, warn, info, \
                 debug or trace, or directives for parts of the program, such as info,aaw_server=debug. Default info."
            ),
            program.log_level
        )
        .or_variable("RUST_LOG")
        .common(),
        setting!(
            "log_body_limit",
            restart,
            Kind::BytesOrNone,
            Doc::Text(
                "Cut bodies and results longer than this in the lines of the log format json, in bytes; 0 leaves them out. \
                 Default none, which is no limit."
            ),
            program.log_body_limit
        )
        .common(),
        setting!(
            "watch",
            restart,
            WATCH_MODES,
            Doc::Text(
                "Rebuild and reload the events whenever a file is saved: auto, or poll, which looks at the files once a \
                 second, for file systems that report no changes, such as some mounts of containers. Default off."
            ),
            program.watch
        )
        .optional(WATCH)
        .with_equals()
        .common(),
        setting!(
            "auth.file",
            restart,
            Kind::PathOrOff,
            Doc::Text(
                "Let users log in, and store users and sessions in this file; without a file name, in aaw-auth.sqlite. \
                 Default off: events below a folder called auth cannot be called."
            ),
            program.auth_file
        )
        .named("auth")
        .optional(DEFAULT_STORE)
        .common(),
        setting!(
            "auth.own_log_ins",
            restart,
            Kind::Switch,
            Doc::Text(
                "Let the events log their callers in themselves, by a token in a header or a cookie, say, instead of storing \
                 users and sessions: events below a folder called auth can then be called by those whom they have logged in. \
                 Not together with a file of users. Default false."
            ),
            program.own_log_ins
        )
        .named("own-log-ins")
        .optional("true")
        .with_equals()
        .common(),
        setting!(
            "tls.cert",
            restart,
            Kind::Path,
            Doc::Text(
                "Speak TLS, with the certificate chain in this PEM file, which is read again when it changes. Requests may name the server \
                 by its names. Default: none, plain HTTP."
            ),
            program.tls.cert
        )
        .named("tls-cert").common(),
        setting!(
            "tls.key",
            restart,
            Kind::Path,
            Doc::Text(
                "The private key of tls.cert, in PEM without a password. Default: none."
            ),
            program.tls.key
        )
        .named("tls-key").common(),
        setting!(
            "tls.hosts",
            restart,
            Kind::Domains,
            Doc::Text(
                "Speak TLS, with a certificate for these names that is obtained and renewed by ACME; the authority has to reach the server \
                 at port 443 of each name; accepts the terms of service of the authority. Default: none."
            ),
            program.tls.hosts
        )
        .named("tls").common(),
        setting!(
            "tls.cache",
            restart,
            Kind::Text,
            Doc::Text(
                "The folder in which the certificate of tls.hosts and its keys are kept. Default aaw-acme."
            ),
            program.tls.cache
        )
        .named("tls-cache").common(),
        setting!(
            "tls.email",
            restart,
            Kind::EmailOrNone,
            Doc::Text(
                "Where the authority of tls.hosts reports problems. Default: none."
            ),
            program.tls.email
        )
        .named("tls-email").common(),
        setting!(
            "tls.directory",
            restart,
            Kind::DirectoryUrl,
            Doc::Text(
                "The ACME directory of the authority of tls.hosts; its own certificate must be trusted by the system, or be in the file \
                 that SSL_CERT_FILE names. Default that of Let's Encrypt."
            ),
            program.tls.directory
        )
        .named("tls-directory").common(),
    ]
}
