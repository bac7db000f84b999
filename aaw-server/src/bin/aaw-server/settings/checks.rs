//! Values that contradict each other, and those without effect.

use std::time::Duration;

use aaw_server::auth::Auth;
use aaw_server::config::ListenAddress;

use super::choices::LogFormat;
use super::values::Values;

/// A contradiction: the settings that it is about, and what must hold.
pub(super) struct Contradiction {
    pub(super) keys: [&'static str; 2],
    pub(super) expected: &'static str,
}

/// Returns all contradictions.
pub(super) fn find(values: &Values) -> Vec<Contradiction> {
    let (config, auth, passwords) = (&values.config, &values.auth, &values.passwords);
    let rules = [
        (
            config.max_held_bytes >= config.max_message_bytes,
            ["max_held_bytes", "max_message_bytes"],
            "a connection must be able to hold a message of the largest size",
        ),
        (
            config.max_held_bytes >= config.max_unsent_response_bytes,
            ["max_held_bytes", "max_unsent_response_bytes"],
            "a connection must be able to hold its unsent responses",
        ),
        (
            config.max_held_bytes_per_address >= config.max_held_bytes,
            ["max_held_bytes_per_address", "max_held_bytes"],
            "the limit of an address must not be below that of one of its connections",
        ),
        (
            config.max_total_held_bytes >= config.max_held_bytes_per_address,
            ["max_total_held_bytes", "max_held_bytes_per_address"],
            "the limit of all connections must not be below that of one address",
        ),
        (
            config.max_push_burst_bytes >= config.max_push_backlog_bytes,
            ["max_push_burst_bytes", "max_push_backlog_bytes"],
            "the burst limit of pushes must not be below the sustained one",
        ),
        (
            config.max_upload_bytes >= config.max_message_bytes,
            ["max_upload_bytes", "max_message_bytes"],
            "an upload must be able to buffer an item of the largest size",
        ),
        (
            !config.proxy_protocol || !config.trusted_proxies.is_empty(),
            ["proxy_protocol", "trusted_proxies"],
            "the PROXY protocol needs a trusted proxy, whose connections begin with it",
        ),
        (
            values.program.tls.cert.is_some() == values.program.tls.key.is_some(),
            ["tls.cert", "tls.key"],
            "a certificate and its key belong together",
        ),
        (
            values.program.tls.cert.is_none() || values.program.tls.hosts.is_empty(),
            ["tls.cert", "tls.hosts"],
            "the certificate is either in a file or obtained by ACME",
        ),
        (
            values.program.auth_file.is_none() || !values.program.own_log_ins,
            ["auth.own_log_ins", "auth.file"],
            "either the events log their callers in, or the users of the file log in",
        ),
        (
            auth.max_password_bytes >= auth.min_password_chars,
            ["auth.max_password_bytes", "auth.min_password_chars"],
            "the shortest password must not exceed the largest one",
        ),
        (
            auth.resets_per_email.within(auth.reset_lifetime) <= Auth::MAX_VALID_RESETS / 2,
            ["auth.resets_per_email", "auth.reset_lifetime"],
            "at most 32768 resets of one address may be possible within the lifetime of one, so that none voids another",
        ),
        (
            // The other half, for the eight networks that are known for a user.
            auth.resets_per_email_and_ip.within(auth.reset_lifetime) <= Auth::MAX_VALID_RESETS / 16,
            ["auth.resets_per_email_and_ip", "auth.reset_lifetime"],
            "at most 4096 resets of one address may be possible within the lifetime of one, so that none voids another",
        ),
        (
            u64::from(passwords.memory_kib) * u64::from(passwords.iterations) <= MAX_HASH_WORK,
            ["auth.password_memory_kib", "auth.password_iterations"],
            "their product must be at most 16777216, about 10 s of a processor for each log-in",
        ),
    ];
    let broken = rules.into_iter().filter(|(holds, ..)| !holds);
    broken.map(|(_, keys, expected)| Contradiction { keys, expected }).collect()
}

/// The most that a hash may cost: its memory in KiB, times the passes over it.
const MAX_HASH_WORK: u64 = 1 << 24;

/// The least that OWASP recommends for Argon2id (2024): 7 MiB and five passes, or as much in another form.
const RECOMMENDED_HASH_WORK: u64 = 7 * 1024 * 5;

/// Returns why passwords are hashed so cheaply that stolen hashes are easy to guess.
pub(super) fn why_hashes_are_weak(values: &Values) -> Option<String> {
    let (memory, iterations) = (values.passwords.memory_kib, values.passwords.iterations);
    let is_weak = u64::from(memory) * u64::from(iterations) < RECOMMENDED_HASH_WORK;
    (is_weak && values.program.auth_file.is_some()).then(|| {
        format!(
            "the passwords of stolen hashes are easy to guess: auth.password_memory_kib is {memory} and \
             auth.password_iterations is {iterations}; expected a product of at least {RECOMMENDED_HASH_WORK}"
        )
    })
}

/// Why a setting has no effect together with the other values; `None` if it has one.
pub(super) fn why_without_effect(key: &str, values: &Values) -> Option<&'static str> {
    let Values { config, program, .. } = values;
    let (is_without_effect, reason) = match key {
        "tls.cache" | "tls.email" | "tls.directory" => {
            (program.tls.hosts.is_empty(), "it is for certificates by ACME, and tls.hosts (--tls) is empty")
        }
        "max_http2_streams" => {
            (program.tls.cert.is_none() && program.tls.hosts.is_empty(), "HTTP/2 needs tls.cert or tls.hosts")
        }
        "auth.file" | "auth.own_log_ins" => return None,
        key if key.starts_with("auth.") => {
            (program.auth_file.is_none(), "no users and sessions are stored, since auth.file (--auth) is off")
        }
        "forwarded_header" => (config.trusted_proxies.is_empty(), "trusted_proxies is empty"),
        "host" => (!config.listen.is_empty(), "listen has the addresses"),
        "port" => {
            let has_its_own = |address: &ListenAddress| !matches!(address, ListenAddress::Tcp { port: None, .. });
            let is_unused = !config.listen.is_empty() && config.listen.iter().all(has_its_own);
            (is_unused, "each address of listen has its own")
        }
        "unix_socket_mode" => {
            let is_unix = |address: &ListenAddress| matches!(address, ListenAddress::Unix(_));
            (!config.listen.iter().any(is_unix), "listen has no Unix socket")
        }
        "handshake_rate_per_address" | "call_rate_per_address" | "input_rate_per_address" => {
            (config.contention_delay == Duration::MAX, "contention_delay is never")
        }
        "max_away_connections" | "max_away_connections_per_address" | "max_unacknowledged_bytes" => {
            (config.resumption_window.is_zero(), "resumption_window is zero")
        }
        "max_missed_heartbeats" => (config.heartbeat_interval == Duration::MAX, "heartbeat_interval is never"),
        "replaced_events_timeout" => (program.watch.is_none(), "watch is off"),
        "log_body_limit" => (program.log != LogFormat::Json, "it is for the lines of calls, and log is not json"),
        _ => return None,
    };
    is_without_effect.then_some(reason)
}
