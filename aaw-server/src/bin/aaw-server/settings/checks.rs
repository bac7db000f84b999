//! Values that contradict each other.

use super::values::Values;

/// A contradiction: the settings that it is about, and what must hold.
pub(super) struct Contradiction {
    pub(super) keys: [&'static str; 2],
    pub(super) expected: &'static str,
}

/// Returns all contradictions.
pub(super) fn find(values: &Values) -> Vec<Contradiction> {
    let (config, auth) = (&values.config, &values.auth);
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
    ];
    let broken = rules.into_iter().filter(|(holds, ..)| !holds);
    broken.map(|(_, keys, expected)| Contradiction { keys, expected }).collect()
}
