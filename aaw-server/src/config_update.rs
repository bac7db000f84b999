//! What a running server takes over from another configuration.

use crate::config::Config;

/// What [`Handle::update_config`](crate::Handle::update_config) did with a configuration: the names of the fields that differ from
/// those of the running server, those of [`HttpConfig`](crate::config::HttpConfig) with the prefix `http.`, and those of
/// `Auth` with `auth.`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigUpdate {
    /// The fields that have their new values now.
    pub applied: Vec<&'static str>,
    /// The fields that keep their values until the server is started again.
    pub needs_restart: Vec<&'static str>,
}

macro_rules! take_field {
    (live, $update:ident, $name:expr, $running:expr, $new:expr) => {
        if $running != $new {
            $running = $new;
            $update.applied.push($name);
        }
    };
    (restart, $update:ident, $name:expr, $running:expr, $new:expr) => {
        if $running != $new {
            $update.needs_restart.push($name);
        }
    };
}

macro_rules! define_update {
    (
        Config { $($field:ident: $when:ident, $kind:ident $(($($bound:tt)*))? $(. $option:ident($($value:tt)*))*;)* }
        HttpConfig { $($http:ident: $http_when:ident, $http_kind:ident $(($($http_bound:tt)*))? $(. $http_option:ident($($http_value:tt)*))*;)* }
        Auth { $($auth:ident: $auth_when:ident, $auth_kind:ident $(($($auth_bound:tt)*))? $(. $auth_option:ident($($auth_value:tt)*))*;)* }
    ) => {
        impl Config {
            /// Takes over the fields of `new` that can change while a server runs.
            pub(crate) fn update(&mut self, new: Self) -> ConfigUpdate {
                let mut update = ConfigUpdate::default();
                // A field that is missing in this pattern is missing in `config/table.rs`.
                let Self {
                    $($field,)*
                    #[cfg(feature = "auth")]
                    auth,
                    // Certificates are read again by themselves.
                    #[cfg(feature = "tls")]
                    tls: _,
                    #[cfg(feature = "http")]
                    http,
                } = new;
                $(take_field!($when, update, stringify!($field), self.$field, $field);)*
                #[cfg(feature = "http")]
                {
                    let crate::config::HttpConfig { $($http,)* } = http;
                    $(take_field!($http_when, update, concat!("http.", stringify!($http)), self.http.$http, $http);)*
                }
                #[cfg(feature = "auth")]
                if let (Some(running), Some(new)) = (&mut self.auth, auth) {
                    // A store cannot be compared, and its service has begun with it.
                    let crate::auth::Auth { $($auth,)* store: _, on_password_reset: _ } = new;
                    $(take_field!($auth_when, update, concat!("auth.", stringify!($auth)), running.$auth, $auth);)*
                }
                update
            }
        }
    };
}

crate::__config_table!(define_update);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_can_change_is_taken_over_and_the_rest_is_named() {
        let mut running = Config { port: 1, ..Config::default() };
        assert_eq!(running.update(running.clone()), ConfigUpdate::default());
        let new = Config {
            port: 2,
            max_connections: 7,
            write_timeout: Duration::from_secs(1),
            allow_origins: vec!["https://a.example".parse().unwrap()],
            ..Config::default()
        };
        let update = running.update(new.clone());
        assert_eq!(update.applied, ["allow_origins", "max_connections", "write_timeout"]);
        assert_eq!(update.needs_restart, ["port"]);
        assert_eq!((running.port, running.max_connections), (1, 7));
        assert_eq!(running.allow_origins, new.allow_origins);
        assert_eq!(running.update(new).applied, [""; 0]);
    }

    #[cfg(feature = "auth")]
    #[test]
    fn fields_of_auth_have_its_prefix_and_its_store_stays() {
        use crate::auth::{Auth, Store};

        struct NoStore;
        impl Store for NoStore {}
        let auth = || Auth::new(NoStore);
        let mut running = Config { auth: Some(auth()), ..Config::default() };
        let store = std::sync::Arc::clone(&running.auth.as_ref().unwrap().store);
        let new = Auth {
            allow_registration: false,
            reset_lifetime: Duration::from_secs(1),
            requests_per_ip: crate::auth::RateLimit::new(1, Duration::from_secs(1)),
            ..auth()
        };
        let update = running.update(Config { auth: Some(new), ..Config::default() });
        assert_eq!(update.applied, ["auth.allow_registration", "auth.requests_per_ip"]);
        assert_eq!(update.needs_restart, ["auth.reset_lifetime"]);
        let running_auth = running.auth.as_ref().unwrap();
        assert!(!running_auth.allow_registration && std::sync::Arc::ptr_eq(&running_auth.store, &store));
        // Authentication does not begin or end.
        assert_eq!(running.update(Config::default()), ConfigUpdate::default());
        assert!(running.auth.is_some());
        let update = Config::default().update(Config { auth: Some(auth()), ..Config::default() });
        assert_eq!(update, ConfigUpdate::default());
    }

    #[cfg(feature = "http")]
    #[test]
    fn fields_of_http_have_its_prefix() {
        let mut running = Config::default();
        let mut new = Config::default();
        (new.http.max_cursors, new.http.static_dir) = (3, Some("pages".into()));
        let update = running.update(new);
        assert_eq!((update.applied, update.needs_restart), (vec!["http.max_cursors"], vec!["http.static_dir"]));
        assert_eq!((running.http.max_cursors, running.http.static_dir), (3, None));
    }
}
