//! The built-in events. Their error texts are those of the original, because its clients show them and match on them.

use std::sync::Arc;

use aaw_protocol::{Code, Failure};

use super::body::{BodyFields, bad_body};
use super::caller::{CallContext, IdentifiedCaller};
use super::config::ResetHook;
use super::email::Email;
use super::password::{InvalidPassword, Password};
use super::reset_requests::ResetRequest;
use super::service::{BuiltInFuture, RevokeOnCancel, Service, log_in_response, unavailable};
use super::session::EndReason;
use super::store::{Credentials, StoreError};
use super::token::TokenHash;
use crate::client_turns::client;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BuiltInEvent {
    Register,
    Login,
    Resume,
    Logout,
    RequestReset,
    SetNew,
}

impl BuiltInEvent {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "aaw/register" => Self::Register,
            "aaw/login" => Self::Login,
            "aaw/resume" => Self::Resume,
            "aaw/logout" => Self::Logout,
            "aaw/password/request-reset" => Self::RequestReset,
            "aaw/password/set-new" => Self::SetNew,
            _ => return None,
        })
    }
}

impl Service {
    /// Returns whether `name` is a built-in event.
    pub(crate) fn is_built_in(name: &str) -> bool {
        BuiltInEvent::parse(name).is_some()
    }

    /// Begins a call of a built-in event; `None` if `name` is not one. `body` is JSON. `module_hook` returns the hook
    /// of a module that delivers password resets.
    pub(crate) fn begin_built_in<C: IdentifiedCaller>(
        self: &Arc<Self>,
        name: &str,
        body: &str,
        caller: &Arc<C>,
        module_hook: impl FnOnce() -> Option<ResetHook>,
    ) -> Option<BuiltInFuture> {
        let event = BuiltInEvent::parse(name)?;
        let module_hook = if event == BuiltInEvent::RequestReset { module_hook() } else { None };
        let (service, caller, fields) = (Arc::clone(self), Arc::clone(caller), BodyFields::parse(body));
        // Started before the first poll, so that a client that logs out and disconnects has logged out.
        let log_out = if event == BuiltInEvent::Logout && fields.is_ok() { self.spawn_log_out(&caller) } else { None };
        Some(Box::pin(async move {
            let (fields, context) = (fields?, caller.context());
            match event {
                BuiltInEvent::Register => service.register(&fields, context).await,
                BuiltInEvent::Login => service.log_in(&fields, context).await,
                BuiltInEvent::Resume => service.resume_session(&fields, context).await,
                BuiltInEvent::Logout => match log_out {
                    Some(task) => service.join(task).await.map(|()| OK.to_owned()),
                    None => Ok(OK.to_owned()),
                },
                BuiltInEvent::RequestReset => service.request_reset(&fields, context, module_hook).await,
                BuiltInEvent::SetNew => service.set_new_password(&fields, context).await,
            }
        }))
    }

    async fn register(&self, fields: &BodyFields, context: &CallContext) -> Result<String, Failure> {
        if !self.config().allow_registration {
            let error = "Registration is closed on this server";
            return Err(Failure::new(Code::new("registration_closed"), error));
        }
        let (email, password) = self.email_and_password(fields)?;
        self.check_new_password(&password)?;
        let email =
            Email::parse(email).map_err(|error| bad_body(format!("The body does not fit at email: {error}")))?;
        self.limits.request(context.address).await?;
        let log_in = self.begin_log_in(context);
        let started = self.config().store.register(Credentials::new(email, password), log_in.session).await;
        let started = started.map_err(|error| self.failure(&error))?;
        self.limits.let_in(&started.identity.email, context.address);
        self.bind(context, log_in, started.identity, &started.ended, EndReason::Logout)
    }

    async fn log_in(&self, fields: &BodyFields, context: &CallContext) -> Result<String, Failure> {
        let (email, password) = self.email_and_password(fields)?;
        let email = normalized(email)?;
        let attempt = self.limits.log_in(email.as_str(), context.address).await?;
        let log_in = self.begin_log_in(context);
        let started = self.config().store.log_in(Credentials::new(email.clone(), password), log_in.session).await;
        // Only wrong credentials count; a log-in that is cancelled before this line counts too.
        match &started {
            Ok(_) => {
                self.limits.let_in(email.as_str(), context.address);
                attempt.succeed();
            }
            Err(StoreError::InvalidCredentials) => drop(attempt),
            Err(_) => attempt.refund(),
        }
        let started = started.map_err(|error| self.failure(&error))?;
        self.bind(context, log_in, started.identity, &started.ended, EndReason::Logout)
    }

    async fn resume_session(&self, fields: &BodyFields, context: &CallContext) -> Result<String, Failure> {
        let token = fields.text("token")?.unwrap_or_default();
        let guard = self.resume(token, context.address, context.session.observer()).await?;
        let identity = guard.session().identity();
        let response = log_in_response(token, &identity)?;
        self.limits.let_in(&identity.email, context.address);
        drop(context.session.replace(guard));
        Ok(response)
    }

    async fn request_reset(
        &self,
        fields: &BodyFields,
        context: &CallContext,
        module_hook: Option<ResetHook>,
    ) -> Result<String, Failure> {
        let Some(hook) = self.config().on_password_reset.clone().or(module_hook) else {
            let error = "Password reset is not configured (no onPasswordReset handler)";
            return Err(Failure::new(Code::UNREACHABLE, error));
        };
        let email = normalized(fields.text("email")?.unwrap_or_default())?;
        // Known from the last second or the last call: asking the store now would take time.
        if self.store_failure().is_some() {
            return Err(unavailable());
        }
        let mut counted = self.limits.request(context.address).await?;
        counted.extend(self.limits.reset(email.as_str(), context.address).await?);
        let request = ResetRequest { email, hook, client: client(context.address), counted };
        self.resets.add(request).map_err(|error| self.failure(&error))?;
        // The same response, at the same time, whether or not there is such a user.
        Ok(OK.to_owned())
    }

    async fn set_new_password(&self, fields: &BodyFields, context: &CallContext) -> Result<String, Failure> {
        let invalid = || Failure::new(Code::new("invalid_reset"), "Reset link is invalid or expired");
        let Some(password) = fields.text("password")? else {
            return Err(bad_body("A new password is required".into()));
        };
        let password = self.password(password)?;
        let reset = TokenHash::parse(fields.text("token")?.unwrap_or_default()).ok_or_else(invalid)?;
        self.check_new_password(&password)?;
        self.limits.request(context.address).await?;
        let log_in = self.begin_log_in(context);
        let (store, registry, session) = (Arc::clone(&self.config().store), Arc::clone(&self.registry), log_in.session);
        // A task, which completes even if this call is cancelled: the sessions that the store ends must end everywhere.
        let task = tokio::spawn(async move {
            let started = store.set_password(reset, password, session).await?;
            Ok(started
                .map(|started| (started.identity, RevokeOnCancel::new(registry, started.ended, EndReason::Password))))
        });
        let (identity, replaced) = self.join(task).await?.ok_or_else(invalid)?;
        self.limits.let_in(&identity.email, context.address);
        self.bind(context, log_in, identity, &replaced.disarm(), EndReason::Password)
    }

    fn email_and_password<'a>(&self, fields: &'a BodyFields) -> Result<(&'a str, Password), Failure> {
        match (fields.text("email")?, fields.text("password")?) {
            (Some(email), Some(password)) if !email.trim().is_empty() => Ok((email, self.password(password)?)),
            _ => Err(bad_body("Email and password are required".into())),
        }
    }

    /// Checks the length of a password before anything else is done with it, so that hashing it has a bounded cost.
    fn password(&self, text: &str) -> Result<Password, Failure> {
        let max = self.config().max_password_bytes;
        if text.len() > max {
            return Err(bad_body(format!(
                "The body does not fit at password: it has {} bytes; the limit is {max}",
                text.len()
            )));
        }
        Ok(Password::new(text))
    }

    /// Checks a password that a user chooses.
    fn check_new_password(&self, password: &Password) -> Result<(), Failure> {
        password.check_new(self.config().min_password_chars).map_err(|error| match error {
            InvalidPassword::TooShort { min, .. } => {
                let data = serde_json::value::to_raw_value(&serde_json::json!({ "min": min })).ok();
                Failure { data, ..Failure::new(Code::new("password_too_short"), error.to_string()) }
            }
            InvalidPassword::Disallowed(_) => bad_body(error.to_string()),
        })
    }
}

const OK: &str = r#"{"ok":true}"#;

fn normalized(email: &str) -> Result<Email, Failure> {
    Email::normalize(email).map_err(|error| bad_body(format!("The body does not fit at email: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_events_are_recognized_by_their_exact_names() {
        for name in ["register", "login", "resume", "logout", "password/request-reset", "password/set-new"] {
            assert!(Service::is_built_in(&format!("aaw/{name}")), "{name}");
        }
        for name in ["login", "aaw", "aaw/", "aaw/Login", "aaw/login/", "aaw/password", "aaw/nope", "auth/login"] {
            assert!(!Service::is_built_in(name), "{name}");
        }
    }
}
