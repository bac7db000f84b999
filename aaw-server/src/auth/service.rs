//! Log-ins and log-outs: the part of authentication that ties the store, the sessions and the rate limits together.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use aaw_event::Identity;
use aaw_protocol::{Code, Failure, Shortened, Token};
use arc_swap::ArcSwap;
use serde::Serialize;
use tokio::task::JoinHandle;

use super::caller::{CallContext, IdentifiedCaller};
use super::config::Auth;
use super::expiry::time_after;
use super::known_networks::KnownNetworks;
use super::limits::{CountedAttempt, RateLimited};
use super::log_in_limits::{LogInAttempt, LogInLimits};
use super::network_limits::NetworkLimiter;
use super::reset_limits::ResetLimits;
use super::reset_requests::ResetRequests;
use super::session::EndReason;
use super::session_observer::SessionObserver;
use super::session_registry::{SessionClaim, SessionGuard, SessionRegistry};
use super::session_scope::SessionScope;
use super::store::{NewSession, StoreError};
use super::store_health::{FailureKind, StoreHealth};
use super::token::{TokenHash, random_token};
use crate::client_network::ClientNetwork;
use crate::throttle::Throttle;

/// The response of a built-in event, as JSON.
pub(crate) type BuiltInFuture = Pin<Box<dyn Future<Output = Result<String, Failure>> + Send>>;

/// How often the store is checked for changes by another program.
const STORE_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The longest that the expiry task sleeps, since the system's clock may be set meanwhile.
const MAX_EXPIRY_SLEEP: Duration = Duration::from_secs(60);

/// When a client may try again for which the store had no place.
const STORE_BUSY_TIME: Duration = Duration::from_secs(1);

/// Authentication of one server.
pub(crate) struct Service {
    /// Its store never changes.
    config: ArcSwap<Auth>,
    pub(super) registry: Arc<SessionRegistry>,
    pub(super) limits: RateLimits,
    pub(super) resets: ResetRequests,
    health: StoreHealth,
    store_failures: Throttle,
}

/// The rate limits of the built-in events.
pub(super) struct RateLimits {
    log_ins: LogInLimits,
    requests_per_ip: NetworkLimiter,
    resets: ResetLimits,
}

/// A log-in for which the store has not responded yet.
pub(super) struct PendingLogIn {
    token: Token,
    /// What the store receives.
    pub(super) session: NewSession,
    scope: SessionScope,
    claim: SessionClaim,
}

/// Sessions that the store has ended in favour of a new one, on their way from the task that called the store to the
/// log-in that started it. If that log-in was cancelled, dropping this revokes them: the store has ended them already.
pub(super) struct RevokeOnCancel {
    registry: Arc<SessionRegistry>,
    tokens: Vec<TokenHash>,
    reason: EndReason,
}

/// The response to a log-in.
#[derive(Serialize)]
struct LogInResponse<'a> {
    token: &'a str,
    user: &'a Identity,
}

impl Service {
    /// Starts authentication, with a task that ends expired sessions until the service is dropped.
    pub(crate) fn start(config: Auth) -> Arc<Self> {
        let known = Arc::new(KnownNetworks::new());
        let service = Arc::new(Self {
            registry: Arc::default(),
            limits: RateLimits {
                log_ins: LogInLimits::new(&config, Arc::clone(&known)),
                requests_per_ip: NetworkLimiter::new(config.requests_per_ip),
                resets: ResetLimits::new(&config, known),
            },
            resets: ResetRequests::start(Arc::clone(&config.store), config.reset_lifetime),
            health: StoreHealth::new(),
            store_failures: Throttle::default(),
            config: ArcSwap::from_pointee(config),
        });
        if service.config().allow_registration {
            tracing::info!(
                "registration is open: anyone who can reach this server can add a user (--registration off closes it)"
            );
        }
        warn_of_voided_resets(&service.config());
        tokio::spawn(watch_sessions(Arc::downgrade(&service), Arc::clone(&service.registry)));
        service
    }

    /// The current configuration.
    pub(super) fn config(&self) -> Arc<Auth> {
        self.config.load_full()
    }

    /// Takes over another configuration with the same store. It applies to log-ins that begin afterwards; what has counted
    /// in the limits stays.
    pub(crate) fn update(&self, config: &Auth) {
        warn_of_voided_resets(config);
        self.limits.update(config);
        self.config.store(Arc::new(config.clone()));
    }

    /// Decides whether a caller with this session, or without one, may call a protected event.
    pub(crate) fn authorize(&self, session: Option<&SessionGuard>, event: &str) -> Result<(), Failure> {
        match session {
            None => Err(not_authenticated()),
            Some(guard) if guard.session().may_call(event) => Ok(()),
            Some(_) => Err(Failure::new(Code::NOT_ALLOWED, format!("Not allowed: {}", Shortened(event)))),
        }
    }

    /// Returns the session of a bearer token that a client at this address has sent.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only HTTP requests carry a token"))]
    pub(crate) async fn bearer(&self, token: &str, client: Option<IpAddr>) -> Result<SessionGuard, Failure> {
        self.resume(token, client, None).await
    }

    /// Returns the session that the store has for a token. Tokens that resume nothing count in no limit: they cannot be
    /// guessed, and a limit would let a client keep the sessions of others at its address from being resumed.
    pub(super) async fn resume(
        &self,
        token: &str,
        client: Option<IpAddr>,
        observer: Option<Weak<dyn SessionObserver>>,
    ) -> Result<SessionGuard, Failure> {
        let token = TokenHash::parse(token).ok_or_else(session_expired)?;
        let claim = self.registry.claim(token, observer);
        let stored = self.config().store.resume(token, client).await.map_err(|error| self.failure(&error))?;
        let guard = stored.and_then(|stored| claim.activate(stored.identity, stored.expires));
        guard.filter(|guard| !guard.is_over()).ok_or_else(session_expired)
    }

    /// Starts a session for a user whom the application has identified itself. The response is that of a log-in. The
    /// session belongs to the connection if the store does not offer to keep it.
    pub(crate) async fn authenticate(
        &self,
        context: &CallContext,
        user: Identity,
        scope: SessionScope,
    ) -> Result<String, Failure> {
        let mut log_in = self.begin_log_in(context);
        if scope == SessionScope::Store {
            match self.config().store.authenticate(user.clone(), log_in.session).await {
                Err(StoreError::NotOffered) => {}
                started => {
                    let started = started.map_err(|error| self.failure(&error))?;
                    return self.bind(context, log_in, started.identity, &started.ended, EndReason::Logout);
                }
            }
        }
        if context.session.observer().is_none() {
            let error = "A call over HTTP has no connection that a session could belong to";
            return Err(Failure::new(Code::NO_CONNECTION, error));
        }
        log_in.scope = SessionScope::Connection;
        self.bind(context, log_in, user, &[], EndReason::Logout)
    }

    /// Returns whether the bearer token of an HTTP request is one of this server's sessions.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only HTTP requests carry a token"))]
    pub(crate) fn has_bearer_tokens(&self) -> bool {
        self.config.load().bearer_tokens
    }

    /// Ends the caller's session, wherever it is used. Does nothing without a session.
    pub(crate) async fn log_out<C: IdentifiedCaller>(&self, caller: &Arc<C>) -> Result<(), Failure> {
        match self.spawn_log_out(caller) {
            Some(task) => self.join(task).await,
            None => Ok(()),
        }
    }

    /// Spawns the log-out, so that a client that logs out and disconnects has logged out: in the store, and for
    /// everything that uses the session. `None` without a session.
    pub(super) fn spawn_log_out<C: IdentifiedCaller>(
        &self,
        caller: &Arc<C>,
    ) -> Option<JoinHandle<Result<(), StoreError>>> {
        let guard = caller.context().session.current()?;
        let (store, registry, caller) =
            (Arc::clone(&self.config().store), Arc::clone(&self.registry), Arc::clone(caller));
        Some(tokio::spawn(async move {
            let session = guard.session();
            if session.is_stored() {
                store.end(session.token()).await?;
            }
            // Released first: the client that logs out is sent no push about the end of a session it no longer has. The
            // guard is kept, so its connection is notified all the same, and ends what the session authorized.
            let _released = caller.context().session.release(session);
            registry.end(session.token(), EndReason::Logout);
            Ok(())
        }))
    }

    /// Awaits a task that continues if its caller is cancelled.
    pub(super) async fn join<T>(&self, task: JoinHandle<Result<T, StoreError>>) -> Result<T, Failure> {
        let done = task.await.unwrap_or_else(|error| Err(StoreError::Failed(error.to_string())));
        done.map_err(|error| self.failure(&error))
    }

    /// Makes a token, and claims the session that it will stand for.
    pub(super) fn begin_log_in(&self, context: &CallContext) -> PendingLogIn {
        let token = random_token();
        let mut session = NewSession::new(TokenHash::of(&token), time_after(self.config.load().session_lifetime));
        session.client = context.address;
        let claim = self.registry.claim(session.token, context.session.observer());
        PendingLogIn { token, session, scope: SessionScope::Store, claim }
    }

    /// Binds a session that the store has started to its caller, and revokes the sessions that the store has `replaced`
    /// by it.
    pub(super) fn bind(
        &self,
        context: &CallContext,
        log_in: PendingLogIn,
        identity: Identity,
        replaced: &[TokenHash],
        reason: EndReason,
    ) -> Result<String, Failure> {
        let PendingLogIn { token, session, scope, claim } = log_in;
        let bound = log_in_response(token.as_str(), &identity).and_then(|response| {
            let guard = claim.activate_in(scope, identity, session.expires).ok_or_else(session_expired)?;
            Ok((response, context.session.replace(guard)))
        });
        // After the slot has changed, so that the client is sent no push about the end of a session it no longer has;
        // while the previous guard exists, so that the connection is notified and ends what that session authorized;
        // and also if the log-in failed, since the store has ended them.
        self.registry.revoke(replaced, reason);
        bound.map(|(response, _previous)| response)
    }

    /// Why the store of users and sessions cannot be used, as of the last second; `None` if it can. Does no work, so a
    /// public endpoint may ask.
    pub(crate) fn store_failure(&self) -> Option<Arc<str>> {
        self.health.failure()
    }

    /// Returns what a caller receives for a store's error. What is wrong with the store itself goes to the log alone.
    pub(super) fn failure(&self, error: &StoreError) -> Failure {
        let code = match error {
            StoreError::NotOffered => Code::UNREACHABLE,
            StoreError::InvalidCredentials => Code::NOT_AUTHENTICATED,
            StoreError::EmailTaken => Code::new("email_taken"),
            StoreError::Busy => return busy("Too many log-ins at once", STORE_BUSY_TIME),
            StoreError::BusyFor(wait) => return busy("Too many log-ins at once", *wait),
            StoreError::Failed(error) => {
                if let Some(suppressed) = self.store_failures.pass() {
                    tracing::error!(suppressed, "the store of users and sessions failed: {error}");
                }
                return unavailable();
            }
            StoreError::Unavailable(why) => {
                self.health.failed(FailureKind::Unavailable, why);
                return unavailable();
            }
        };
        Failure::new(code, error.to_string())
    }

    async fn check_health(&self) {
        let check = self.health.begin_check();
        match self.config().store.health().await {
            Ok(()) => self.health.succeeded(check),
            Err(StoreError::Unavailable(why)) => self.health.failed(FailureKind::Unavailable, &why),
            Err(StoreError::Failed(why)) => self.health.failed(FailureKind::Failed, &why),
            // Says nothing.
            Err(_) => {}
        }
    }

    /// Reloads all sessions in use from the store: their users may have changed, and the sessions may have been
    /// deleted. Returns whether the store has returned all of them.
    async fn reload_sessions(&self) -> bool {
        let mut is_complete = true;
        for session in self.registry.sessions().into_iter().filter(|session| session.is_stored()) {
            match self.config().store.resume(session.token(), None).await {
                Ok(Some(stored)) => session.update(stored.identity),
                Ok(None) => self.registry.end(session.token(), EndReason::Logout),
                // A store that is temporarily unavailable ends no sessions.
                Err(_) => is_complete = false,
            }
        }
        is_complete
    }
}

impl RevokeOnCancel {
    pub(super) fn new(registry: Arc<SessionRegistry>, tokens: Vec<TokenHash>, reason: EndReason) -> Self {
        Self { registry, tokens, reason }
    }

    /// Returns the sessions, which the caller then revokes.
    pub(super) fn disarm(mut self) -> Vec<TokenHash> {
        std::mem::take(&mut self.tokens)
    }
}

impl Drop for RevokeOnCancel {
    fn drop(&mut self) {
        self.registry.revoke(&self.tokens, self.reason);
    }
}

/// The program refuses such settings. A library's user is told.
fn warn_of_voided_resets(config: &Auth) {
    let valid_resets = config.valid_resets();
    if valid_resets > Auth::MAX_VALID_RESETS {
        tracing::warn!(
            valid_resets,
            max = Auth::MAX_VALID_RESETS,
            "a stranger can void the password reset that a user has received: the limits allow too many in reset_lifetime"
        );
    }
}

impl RateLimits {
    fn update(&self, config: &Auth) {
        self.log_ins.update(config);
        self.requests_per_ip.set_rate(config.requests_per_ip);
        self.resets.update(config);
    }

    /// Begins an attempt to log in.
    pub(super) async fn log_in(&self, email: &str, peer: Option<IpAddr>) -> Result<LogInAttempt, Failure> {
        self.log_ins.attempt(email, peer).await.map_err(too_many)
    }

    /// Records that a user was let in from this address.
    pub(super) fn let_in(&self, email: &str, peer: Option<IpAddr>) {
        self.log_ins.succeeded(email, peer);
    }

    /// Counts a request that is expensive or sends a mail, whatever its result. In no limit if the address is not known.
    pub(super) async fn request(&self, peer: Option<IpAddr>) -> Result<Vec<CountedAttempt>, Failure> {
        match peer {
            Some(peer) => self.requests_per_ip.count(ClientNetwork::from(peer)).await.map_err(too_many),
            None => Ok(Vec::new()),
        }
    }

    /// Counts a request for a password reset for this e-mail address.
    pub(super) async fn reset(&self, email: &str, peer: Option<IpAddr>) -> Result<Vec<CountedAttempt>, Failure> {
        self.resets.count(email, peer).await.map_err(too_many)
    }
}

fn too_many(RateLimited(wait): RateLimited) -> Failure {
    busy("Too many attempts", wait)
}

/// The failure of what may succeed after this time, which is rounded up to seconds.
fn busy(what: &str, wait: Duration) -> Failure {
    let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1);
    let data = serde_json::value::to_raw_value(&serde_json::json!({ "retry_after": seconds })).ok();
    Failure { data, ..Failure::new(Code::BUSY, format!("{what}; try again in {seconds} s")) }
}

/// The failure of what needs the store while that cannot be used.
pub(super) fn unavailable() -> Failure {
    Failure::new(Code::new("unavailable"), "Auth is temporarily unavailable")
}

pub(super) fn log_in_response(token: &str, user: &Identity) -> Result<String, Failure> {
    // Strings always serialize.
    serde_json::to_string(&LogInResponse { token, user }).map_err(|_| Failure::internal(Code::INTERNAL))
}

fn not_authenticated() -> Failure {
    Failure::new(Code::NOT_AUTHENTICATED, "Not authenticated")
}

fn session_expired() -> Failure {
    Failure::new(Code::NOT_AUTHENTICATED, "Session expired")
}

/// Ends sessions when they expire, and watches the store, until the service is dropped. A store that is slow, or waits for
/// the lock of another program, delays the end of no session.
async fn watch_sessions(service: Weak<Service>, registry: Arc<SessionRegistry>) {
    let watch_store = watch_store(service);
    tokio::pin!(watch_store);
    loop {
        let now = SystemTime::now();
        let sleep = registry.expire(now).map_or(MAX_EXPIRY_SLEEP, |expires| {
            // A millisecond longer, since a timer may fire slightly early.
            let left = expires.duration_since(now).unwrap_or_default();
            left.saturating_add(Duration::from_millis(1)).min(MAX_EXPIRY_SLEEP)
        });
        tokio::select! {
            () = tokio::time::sleep(sleep) => {}
            () = registry.expires_sooner.notified() => {}
            () = &mut watch_store => return,
        }
    }
}

/// Checks the store, and reloads the sessions when another program has changed it. Ends when the service is dropped.
async fn watch_store(service: Weak<Service>) {
    let mut poll = tokio::time::interval(STORE_POLL_INTERVAL);
    poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // Whether sessions may differ from those in the store. The store reports a change once, and a session that could not be
    // reloaded then may have been ended by it.
    let mut is_stale = false;
    loop {
        poll.tick().await;
        let Some(service) = service.upgrade() else { return };
        service.check_health().await;
        is_stale |= matches!(service.config().store.has_changed().await, Ok(true));
        if is_stale {
            is_stale = !service.reload_sessions().await;
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("config", &self.config).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::expiry::FOREVER;
    use super::*;

    #[test]
    fn the_failure_of_a_rate_limit_names_the_seconds_to_wait() {
        let failure = too_many(RateLimited(Duration::from_millis(1200)));
        assert_eq!((failure.error.as_str(), failure.code), ("Too many attempts; try again in 2 s", Code::BUSY));
        assert_eq!(failure.data.unwrap().get(), r#"{"retry_after":2}"#);
    }

    #[test]
    fn a_cancelled_log_in_revokes_the_sessions_that_it_has_replaced() {
        let registry = Arc::<SessionRegistry>::default();
        let start = || {
            let token = TokenHash::of(&random_token());
            let guard = registry.claim(token, None).activate(Identity::new("1", "a@b.c"), time_after(FOREVER));
            (token, guard.expect("the session has not ended"))
        };
        let ((cancelled, cancelled_guard), (bound, bound_guard)) = (start(), start());
        drop(RevokeOnCancel::new(Arc::clone(&registry), vec![cancelled], EndReason::Password));
        assert_eq!(cancelled_guard.session().ended(), Some(EndReason::Password));
        let tokens = RevokeOnCancel::new(Arc::clone(&registry), vec![bound], EndReason::Password).disarm();
        assert!(!bound_guard.is_over(), "the log-in revokes it when it is bound");
        registry.revoke(&tokens, EndReason::Password);
        assert!(bound_guard.is_over());
    }

    #[test]
    fn an_unlimited_lifetime_does_not_overflow() {
        assert!(time_after(Duration::MAX) > time_after(Duration::from_secs(3600)));
    }
}
