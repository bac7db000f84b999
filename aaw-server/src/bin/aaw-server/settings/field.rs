//! The types of the fields that are settings: their values are read and written in the forms of [`Value`].

use std::path::PathBuf;
use std::time::Duration;

use aaw_server::auth::RateLimit;
use aaw_server::config::{AllowedHost, AllowedOrigin, ForwardedHeader, ListenAddress, PathPrefix, TrustedProxy};

use super::choices::{LogFormat, WatchMode};
use super::kind::Value;

/// A type of fields.
pub(super) trait Field {
    fn value(&self) -> Value;

    /// Sets the field. The error says what was expected.
    fn set(&mut self, value: Value) -> Result<(), String>;
}

/// A kind in the table that does not fit its field. Tests set every setting, so none of them reaches a user.
fn mismatch() -> Result<(), String> {
    Err("the kind of the setting does not fit its field".into())
}

macro_rules! number_fields {
    ($($type:ty)*) => { $(
        impl Field for $type {
            fn value(&self) -> Value {
                Value::Number(*self as u64)
            }

            fn set(&mut self, value: Value) -> Result<(), String> {
                let Value::Number(number) = value else { return mismatch() };
                *self = Self::try_from(number).map_err(|_| format!("expected at most {}", Self::MAX))?;
                Ok(())
            }
        }
    )* };
}

number_fields!(u16 u32 usize);

macro_rules! plain_fields {
    ($($type:ty: $variant:ident;)*) => { $(
        impl Field for $type {
            fn value(&self) -> Value {
                Value::$variant(self.clone())
            }

            fn set(&mut self, value: Value) -> Result<(), String> {
                let Value::$variant(value) = value else { return mismatch() };
                *self = value;
                Ok(())
            }
        }
    )* };
}

plain_fields! {
    String: Text;
    Duration: Time;
    bool: Switch;
    Vec<AllowedOrigin>: Origins;
    Vec<AllowedHost>: Hosts;
    Vec<ListenAddress>: Addresses;
    Vec<TrustedProxy>: Proxies;
    ForwardedHeader: ForwardedHeader;
    PathPrefix: PathPrefix;
    Vec<String>: Texts;
    Option<String>: OptionalText;
    RateLimit: Rate;
}

impl Field for Option<PathBuf> {
    fn value(&self) -> Value {
        Value::OptionalText(self.as_ref().map(|path| path.to_string_lossy().into_owned()))
    }

    fn set(&mut self, value: Value) -> Result<(), String> {
        let Value::OptionalText(path) = value else { return mismatch() };
        *self = path.map(PathBuf::from);
        Ok(())
    }
}

impl Field for Option<usize> {
    fn value(&self) -> Value {
        Value::OptionalNumber(self.map(|number| number as u64))
    }

    fn set(&mut self, value: Value) -> Result<(), String> {
        let Value::OptionalNumber(number) = value else { return mismatch() };
        *self = number.map(usize::try_from).transpose().map_err(|_| format!("expected at most {}", usize::MAX))?;
        Ok(())
    }
}

impl Field for LogFormat {
    fn value(&self) -> Value {
        Value::Text(self.word().into())
    }

    fn set(&mut self, value: Value) -> Result<(), String> {
        let Value::Text(word) = value else { return mismatch() };
        let known = [Self::Pretty, Self::Json, Self::Off].into_iter().find(|format| format.word() == word);
        known.map_or_else(mismatch, |format| {
            *self = format;
            Ok(())
        })
    }
}

impl Field for Option<WatchMode> {
    fn value(&self) -> Value {
        Value::Text(self.map_or("off", WatchMode::word).into())
    }

    fn set(&mut self, value: Value) -> Result<(), String> {
        let Value::Text(word) = value else { return mismatch() };
        let known = [None, Some(WatchMode::Auto), Some(WatchMode::Poll)];
        let found = known.into_iter().find(|mode| mode.map_or("off", WatchMode::word) == word);
        found.map_or_else(mismatch, |mode| {
            *self = mode;
            Ok(())
        })
    }
}
