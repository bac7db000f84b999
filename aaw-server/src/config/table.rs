//! The table of all fields of the configuration: one line a field.
//!
//! Two macros read it. `config_update.rs` learns which fields a running server applies. The program `aaw-server` makes a setting of
//! each field, that is a key of its settings file, an environment variable and a flag; its documentation is that of the field.
//! Both name every field without `..`, so the build fails while a field is missing here.
//!
//! A line is `FIELD: WHEN, KIND OPTIONS;`. WHEN is `live`, if connections that open after an update have the new value, or
//! log-ins that begin after it, or `restart`. KIND is a variant of `Kind` in `src/bin/aaw-server/settings/kind.rs`: the form of the value, and what is valid.
//! OPTIONS are methods of `Setting` in `settings/setting.rs`: `.common()` shows the flag in `-h`, `.named("x")` names flag and
//! variable otherwise than the field.

/// Calls the macro `$then` with the table.
#[doc(hidden)]
#[macro_export]
macro_rules! __config_table {
    ($then:ident) => {
        $then! {
            Config {
                host: restart, Text .common();
                port: restart, Number(0, 65_535) .common();
                listen: restart, Addresses .common();
                listen_backlog: restart, Number(1, MAX);
                unix_socket_mode: restart, Mode;
                max_http2_streams: live, Number(1, MAX);
                allow_origins: live, Origins .named("allow-origin").common();
                allow_hosts: live, Hosts .named("allow-host").common();
                trusted_proxies: live, Proxies .named("trusted-proxy").common();
                forwarded_header: live, ForwardedHeader .common();
                proxy_protocol: restart, Switch .optional("true").with_equals().common();
                path_prefix: restart, PathPrefix .common();
                max_connections: live, Number(1, MAX) .common();
                max_connections_per_address: live, NumberOrNone .common();
                contention_delay: live, Time(ANY) .common();
                handshake_rate_per_address: live, Number(1, MAX) .common();
                call_rate_per_address: live, Number(1, MAX) .common();
                input_rate_per_address: live, Bytes(1) .common();
                max_handshake_bytes: live, Bytes(0);
                max_message_frames: live, Number(1, MAX);
                replaced_events_timeout: live, Time(ANY) .common();
                handshake_timeout: live, Time(POSITIVE);
                keep_alive_timeout: live, Time(ANY) .common();
                heartbeat_interval: live, Time(POSITIVE);
                max_missed_heartbeats: live, Number(1, MAX);
                resumption_window: live, Time(ANY) .common();
                max_away_connections: live, Number(0, MAX) .common();
                max_away_connections_per_address: live, Number(0, MAX) .common();
                max_unacknowledged_bytes: live, Bytes(1);
                max_message_bytes: restart, Bytes(1024);
                max_concurrent_calls: live, Number(1, MAX);
                max_call_time: restart, Time(POSITIVE) .common();
                guard_timeout: restart, Time(POSITIVE);
                max_queued_call_bytes: live, Bytes(0);
                max_push_backlog_bytes: live, Bytes(1);
                push_backlog_timeout: live, Time(ANY);
                max_push_burst_bytes: live, Bytes(1);
                reader_stall_timeout: live, Time(POSITIVE);
                max_running_call_bytes: live, Bytes(1);
                upload_window: live, Number(1, MAX);
                max_upload_bytes: live, Bytes(1);
                max_client_calls: live, Number(0, MAX);
                max_rooms: restart, Number(0, MAX);
                max_unsent_response_bytes: live, Bytes(1);
                max_held_bytes: restart, Bytes(4096);
                max_held_bytes_per_address: restart, Bytes(4096) .common();
                max_total_held_bytes: restart, Bytes(4096);
                write_timeout: live, Time(POSITIVE);
                close_timeout: live, Time(ANY);
                linger_timeout: live, Time(ANY);
                max_linger_poll_time: live, Time(ANY);
                stream_shutdown_timeout: live, Time(ANY) .common();
                shutdown_timeout: live, Time(ANY) .common();
            }
            HttpConfig {
                static_dir: restart, Path .named("static").common();
                body_timeout: live, Time(POSITIVE);
                sse_keep_alive_interval: live, Time(POSITIVE);
                poll_timeout: live, Time(ANY);
                cursor_idle_timeout: live, Time(POSITIVE);
                max_cursors: live, Number(0, MAX);
                max_cursors_per_address: live, Number(0, MAX);
            }
            Auth {
                session_lifetime: live, Time(FINITE);
                reset_lifetime: restart, Time(FINITE);
                allow_registration: live, OpenOrOff .named("registration").common();
                bearer_tokens: live, Switch;
                min_password_chars: live, Number(1, 64) .named("min-password-length").common();
                max_password_bytes: live, Bytes(64);
                failed_logins_per_email: live, Rate;
                failed_logins_per_email_and_ip: live, Rate;
                failed_logins_per_ip: live, Rate;
                requests_per_ip: live, Rate;
                resets_per_email: live, Rate;
                resets_per_email_and_ip: live, Rate;
            }
        }
    };
}
