//! The built-in events. The texts are those of the original: clients show them, and tell by them what has happened.

use std::sync::Arc;

use aaw_protocol::{Code, Failure};

use super::body::{BodyFields, bad_body};
use super::config::{PasswordReset, ResetHook};
use super::email::Email;
use super::service::{Asked, Ended, Service, Superseded, after, logged_in};
use super::store::{Credentials, Password, StoreError};
use super::token::{TokenHash, random_token};
use crate::dispatch::Asker;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BuiltIn {
    Register,
    Login,
    Resume,
    Logout,
    RequestReset,
    SetNew,
}

impl BuiltIn {
    fn find(name: &str) -> Option<Self> {
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
    /// Whether this is a built-in event.
    pub(crate) fn answers(name: &str) -> bool {
        BuiltIn::find(name).is_some()
    }

    /// A call of a built-in event; nothing if it is none. The body is JSON. `deliver` is the package's own way to deliver
    /// the token of a reset.
    pub(crate) fn ask<C: Asker>(
        self: &Arc<Self>,
        name: &str,
        body: &str,
        who: &Arc<C>,
        deliver: impl FnOnce() -> Option<ResetHook>,
    ) -> Option<Asked> {
        let event = BuiltIn::find(name)?;
        let deliver = if event == BuiltIn::RequestReset { deliver() } else { None };
        let (service, who, fields) = (Arc::clone(self), Arc::clone(who), BodyFields::parse(body));
        let ending = if event == BuiltIn::Logout && fields.is_ok() { self.begin_log_out(&who) } else { None };
        Some(Box::pin(async move {
            let fields = fields?;
            match event {
                BuiltIn::Register => service.register(&fields, &who).await,
                BuiltIn::Login => service.log_in(&fields, &who).await,
                BuiltIn::Resume => service.answer_resume(&fields, &who).await,
                BuiltIn::Logout => match ending {
                    Some(ending) => service.done(ending).await.map(|()| OK.to_owned()),
                    None => Ok(OK.to_owned()),
                },
                BuiltIn::RequestReset => service.request_reset(&fields, &who, deliver).await,
                BuiltIn::SetNew => service.set_new(&fields, &who).await,
            }
        }))
    }

    async fn register<C: Asker>(&self, fields: &BodyFields, who: &Arc<C>) -> Result<String, Failure> {
        if !self.config.allow_registration {
            return Err(self.failure(&StoreError::NotOffered));
        }
        let (email, password) = self.email_and_password(fields)?;
        let email =
            Email::parse(email).map_err(|error| bad_body(format!("The body does not fit at email: {error}")))?;
        self.attempts.request(who.address()).await?;
        let (token, session, claimed) = self.new_session(who);
        let added = self.config.store.register(Credentials::new(email, password), session).await;
        let began = added.map_err(|error| self.failure(&error))?;
        self.bind(who, &token, &session, claimed, began.identity, self.superseded(began.ended, Ended::Logout))
    }

    async fn log_in<C: Asker>(&self, fields: &BodyFields, who: &Arc<C>) -> Result<String, Failure> {
        let (email, password) = self.email_and_password(fields)?;
        let email = normalised(email)?;
        let (peer, address) = self.attempts.log_in(email.as_str(), who.address()).await?;
        let (token, session, claimed) = self.new_session(who);
        let logged_in = self.config.store.log_in(Credentials::new(email, password), session).await;
        if !matches!(logged_in, Err(StoreError::InvalidCredentials)) {
            peer.into_iter().chain([address]).for_each(|attempt| attempt.refund());
        }
        let began = logged_in.map_err(|error| self.failure(&error))?;
        self.bind(who, &token, &session, claimed, began.identity, self.superseded(began.ended, Ended::Logout))
    }

    async fn answer_resume<C: Asker>(&self, fields: &BodyFields, who: &Arc<C>) -> Result<String, Failure> {
        let token = fields.text("token")?.unwrap_or_default();
        let held = self.resume(token, who.holder()).await?;
        let answer = logged_in(token, &held.session.identity())?;
        drop(who.hold(held));
        Ok(answer)
    }

    async fn request_reset<C: Asker>(
        &self,
        fields: &BodyFields,
        who: &Arc<C>,
        deliver: Option<ResetHook>,
    ) -> Result<String, Failure> {
        let Some(deliver) = self.config.on_password_reset.clone().or(deliver) else {
            let error = "Password reset is not configured (no onPasswordReset handler)";
            return Err(Failure::new(Code::UNREACHABLE, error));
        };
        let email = normalised(fields.text("email")?.unwrap_or_default())?;
        self.attempts.request(who.address()).await?;
        self.attempts.reset(email.as_str()).await?;
        let (token, expires) = (random_token(), after(self.config.reset_lifetime));
        let known = self.config.store.request_reset(email, TokenHash::of(&token), expires).await;
        if let Some(user) = known.map_err(|error| self.failure(&error))? {
            self.deliver(&deliver, PasswordReset::new(user, token));
        }
        Ok(OK.to_owned())
    }

    async fn set_new<C: Asker>(&self, fields: &BodyFields, who: &Arc<C>) -> Result<String, Failure> {
        let invalid = || Failure::new(Code::new("invalid_reset"), "Reset link is invalid or expired");
        let Some(password) = fields.text("password")? else {
            return Err(bad_body("A new password is required".into()));
        };
        let password = self.password(password)?;
        let reset = TokenHash::parse(fields.text("token")?.unwrap_or_default()).ok_or_else(invalid)?;
        self.attempts.request(who.address()).await?;
        let (token, session, claimed) = self.new_session(who);
        let (store, live) = (Arc::clone(&self.config.store), Arc::clone(&self.live));
        // To its end, also when the caller goes meanwhile: what the store has ended must end for all who have it.
        let set = tokio::spawn(async move {
            let set = store.set_password(reset, password, session).await?;
            Ok(set.map(|began| (began.identity, Superseded::new(live, began.ended, Ended::Password))))
        });
        let (identity, before) = self.done(set).await?.ok_or_else(invalid)?;
        self.bind(who, &token, &session, claimed, identity, before)
    }

    fn email_and_password<'a>(&self, fields: &'a BodyFields) -> Result<(&'a str, Password), Failure> {
        match (fields.text("email")?, fields.text("password")?) {
            (Some(email), Some(password)) if !email.trim().is_empty() => Ok((email, self.password(password)?)),
            _ => Err(bad_body("Email and password are required".into())),
        }
    }

    /// Before anything is done with it: one that is too long costs nothing more.
    fn password(&self, text: &str) -> Result<Password, Failure> {
        let most = self.config.max_password_bytes;
        if text.len() > most {
            return Err(bad_body(format!(
                "The body does not fit at password: it has {} bytes, and may have {most}",
                text.len()
            )));
        }
        Ok(Password::new(text))
    }
}

const OK: &str = r#"{"ok":true}"#;

fn normalised(email: &str) -> Result<Email, Failure> {
    Email::normalise(email).map_err(|error| bad_body(format!("The body does not fit at email: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_events_are_these() {
        for name in ["register", "login", "resume", "logout", "password/request-reset", "password/set-new"] {
            assert!(Service::answers(&format!("aaw/{name}")), "{name}");
        }
        for name in ["login", "aaw", "aaw/", "aaw/Login", "aaw/login/", "aaw/password", "aaw/nope", "auth/login"] {
            assert!(!Service::answers(name), "{name}");
        }
    }
}
