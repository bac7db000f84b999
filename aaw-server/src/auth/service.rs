//! What ties store, sessions and limits together.

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use aaw_protocol::{Code, Failure, Shortened, Token};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::Identity;
use super::config::{Auth, PasswordReset, ResetHook};
use super::limits::{AttemptGuard, AttemptLimiter, RateLimited};
use super::live::{Claimed, Live};
pub(crate) use super::live::{Held, Holder};
pub(crate) use super::session::{Ended, Session};
use super::store::{NewSession, StoreError};
use super::token::{TokenHash, random_token};
use crate::dispatch::Asker;
use crate::throttle::Throttle;

/// What a built-in event comes to: its answer as JSON.
pub(crate) type Asked = Pin<Box<dyn Future<Output = Result<String, Failure>> + Send>>;

/// How often the store is asked whether another program has changed it.
const LOOK: Duration = Duration::from_secs(1);

/// The longest that the watch sleeps: the system's clock may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Tokens of resets that are being delivered at the same time.
const DELIVERIES: usize = 64;

/// How long one delivery may take.
const DELIVERY: Duration = Duration::from_secs(60);

/// As good as never, where a time has to be written down.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// One for each server with authentication.
pub(crate) struct Service {
    pub(super) config: Auth,
    pub(super) live: Arc<Live>,
    pub(super) attempts: Attempts,
    deliveries: Arc<Semaphore>,
    failures: Throttle,
}

/// How often what may be tried.
pub(super) struct Attempts {
    address: AttemptLimiter,
    peer: AttemptLimiter,
    requests: AttemptLimiter,
    resets: AttemptLimiter,
}

/// Sessions that the store has ended for the sake of another. Dropped, wherever that is, they end for all who have them.
pub(super) struct Superseded {
    live: Arc<Live>,
    sessions: Vec<TokenHash>,
    how: Ended,
}

/// What a session begins with, as its user gets it.
#[derive(Serialize)]
struct LoggedIn<'a> {
    token: &'a str,
    user: &'a Identity,
}

impl Service {
    /// Starts to watch over sessions, for as long as this lives.
    pub(crate) fn start(config: Auth) -> Arc<Self> {
        let service = Arc::new(Self {
            live: Arc::default(),
            attempts: Attempts {
                address: AttemptLimiter::new(config.failed_logins_per_email),
                peer: AttemptLimiter::new(config.failed_logins_per_ip),
                requests: AttemptLimiter::new(config.requests_per_ip),
                resets: AttemptLimiter::new(config.resets_per_email),
            },
            deliveries: Arc::new(Semaphore::new(DELIVERIES)),
            failures: Throttle::default(),
            config,
        });
        tokio::spawn(watch(Arc::downgrade(&service), Arc::clone(&service.live)));
        service
    }

    /// Whether somebody with this session, or with none, may call an event that needs one.
    pub(crate) fn judge(&self, session: Option<&Session>, event: &str) -> Result<(), Failure> {
        match session {
            None => Err(not_authenticated()),
            Some(session) if session.may_call(event) => Ok(()),
            Some(_) => Err(Failure::new(Code::NOT_ALLOWED, format!("Not allowed: {}", Shortened(event)))),
        }
    }

    /// The session of a token that came with a request, for as long as that lasts.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "there are no requests"))]
    pub(crate) async fn bearer(&self, token: &str) -> Result<Held, Failure> {
        self.resume(token, None).await
    }

    pub(super) async fn resume(&self, token: &str, holder: Option<Weak<dyn Holder>>) -> Result<Held, Failure> {
        let token = TokenHash::parse(token).ok_or_else(session_expired)?;
        let claimed = self.live.claim(token, holder);
        let stored = self.config.store.resume(token).await.map_err(|error| self.failure(&error))?;
        let held = stored.and_then(|stored| claimed.begin(stored.identity, stored.expires));
        held.filter(|held| !held.session.is_over()).ok_or_else(session_expired)
    }

    /// Begins a session of somebody whom the application has recognised. Answers as a log-in does.
    pub(crate) async fn authenticate<C: Asker>(&self, who: &Arc<C>, user: Identity) -> Result<String, Failure> {
        let (token, session, claimed) = self.new_session(who);
        let began = self.config.store.authenticate(user, session).await.map_err(|error| self.failure(&error))?;
        self.bind(who, &token, &session, claimed, began.identity, self.superseded(began.ended, Ended::Logout))
    }

    /// Ends the caller's session, wherever it is used. Without one there is nothing to do.
    pub(crate) async fn log_out<C: Asker>(&self, who: &Arc<C>) -> Result<(), Failure> {
        match self.begin_log_out(who) {
            Some(ending) => self.done(ending).await,
            None => Ok(()),
        }
    }

    /// The same as a task of its own, begun at once: who logs out and hangs up has logged out, in the store as well as for
    /// all who have the session. Nothing without one.
    pub(super) fn begin_log_out<C: Asker>(&self, who: &Arc<C>) -> Option<JoinHandle<Result<(), StoreError>>> {
        let session = who.session()?;
        let (store, live, who) = (Arc::clone(&self.config.store), Arc::clone(&self.live), Arc::clone(who));
        Some(tokio::spawn(async move {
            store.end(session.token()).await?;
            // Who ends it needs not be told.
            let _held = who.release(&session);
            live.end(session.token(), Ended::Logout);
            Ok(())
        }))
    }

    /// What a task has come to that goes on without its caller.
    pub(super) async fn done<T>(&self, task: JoinHandle<Result<T, StoreError>>) -> Result<T, Failure> {
        let done = task.await.unwrap_or_else(|error| Err(StoreError::Failed(error.to_string())));
        done.map_err(|error| self.failure(&error))
    }

    pub(super) fn superseded(&self, sessions: Vec<TokenHash>, how: Ended) -> Superseded {
        Superseded::new(Arc::clone(&self.live), sessions, how)
    }

    /// A token, what is kept of it, and a claim to the session that it will stand for.
    pub(super) fn new_session<C: Asker>(&self, who: &Arc<C>) -> (Token, NewSession, Claimed) {
        let token = random_token();
        let session = NewSession::new(TokenHash::of(&token), after(self.config.session_lifetime));
        let claimed = self.live.claim(session.token, who.holder());
        (token, session, claimed)
    }

    /// The store has begun a session: it is the caller's from now on.
    pub(super) fn bind<C: Asker>(
        &self,
        who: &Arc<C>,
        token: &Token,
        session: &NewSession,
        claimed: Claimed,
        identity: Identity,
        before: Superseded,
    ) -> Result<String, Failure> {
        let answer = logged_in(token.as_str(), &identity)?;
        let held = claimed.begin(identity, session.expires).ok_or_else(session_expired)?;
        // Before the old ones end, so that its own connection is not told of the end of what it has no more.
        let _held = who.hold(held);
        drop(before);
        Ok(answer)
    }

    /// Has the token of a reset delivered. Nobody waits for it: how long it takes would tell that there is such a user.
    pub(super) fn deliver(&self, hook: &ResetHook, reset: PasswordReset) {
        let Ok(place) = Arc::clone(&self.deliveries).try_acquire_owned() else {
            tracing::error!(user = reset.user.id, "the token of a password reset was not delivered: too many at once");
            return;
        };
        let (user, delivery) = (reset.user.id.clone(), hook(reset));
        tokio::spawn(async move {
            let _place = place;
            match tokio::time::timeout(DELIVERY, delivery).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(user, "the token of a password reset was not delivered: {error}"),
                Err(_) => tracing::error!(user, "the token of a password reset was not delivered in time"),
            }
        });
    }

    /// What the caller reads of a store's error. What is wrong with the store is for the log alone.
    pub(super) fn failure(&self, error: &StoreError) -> Failure {
        let code = match error {
            StoreError::NotOffered => Code::UNREACHABLE,
            StoreError::InvalidCredentials => Code::NOT_AUTHENTICATED,
            StoreError::EmailTaken => Code::new("email_taken"),
            StoreError::Busy => return Failure::new(Code::BUSY, "Too many log-ins at once; try again later"),
            StoreError::Failed(what) => {
                if let Some(unlogged) = self.failures.pass() {
                    tracing::error!(unlogged, "the store of users and sessions failed: {what}");
                }
                return Failure::new(Code::new("unavailable"), "Auth is temporarily unavailable");
            }
        };
        Failure::new(code, error.to_string())
    }

    /// Looks at all sessions in use again: their users may have been changed, or be gone.
    async fn look_again(&self) {
        for session in self.live.sessions() {
            match self.config.store.resume(session.token()).await {
                Ok(Some(stored)) => session.update(stored.identity),
                Ok(None) => self.live.end(session.token(), Ended::Logout),
                // Sessions are not ended by a store that has a bad moment.
                Err(_) => {}
            }
        }
    }
}

impl Superseded {
    pub(super) fn new(live: Arc<Live>, sessions: Vec<TokenHash>, how: Ended) -> Self {
        Self { live, sessions, how }
    }
}

impl Drop for Superseded {
    fn drop(&mut self) {
        for session in self.sessions.drain(..) {
            self.live.end(session, self.how);
        }
    }
}

impl Attempts {
    /// A log-in to this address, by somebody who comes from there.
    pub(super) async fn log_in(
        &self,
        address: &str,
        peer: Option<IpAddr>,
    ) -> Result<(Option<AttemptGuard>, AttemptGuard), Failure> {
        let peer = match peer {
            Some(peer) => Some(self.peer.attempt(network(peer)).await.map_err(too_many)?),
            None => None,
        };
        match self.address.attempt(address).await {
            Ok(attempt) => Ok((peer, attempt)),
            Err(RateLimited(wait)) => {
                // It was not tried.
                if let Some(peer) = peer {
                    peer.refund();
                }
                Err(too_many(RateLimited(wait)))
            }
        }
    }

    /// Something that costs, or sends a mail, whoever it is for.
    pub(super) async fn request(&self, peer: Option<IpAddr>) -> Result<(), Failure> {
        match peer {
            Some(peer) => count(&self.requests, network(peer)).await,
            None => Ok(()),
        }
    }

    /// A reset for this address.
    pub(super) async fn reset(&self, address: &str) -> Result<(), Failure> {
        count(&self.resets, address).await
    }
}

/// Counts it, whatever comes of it.
async fn count(limit: &AttemptLimiter, key: impl Hash) -> Result<(), Failure> {
    limit.attempt(key).await.map(drop).map_err(too_many)
}

/// Who counts as one peer: an IPv4 address, or the network that a provider gives to one customer.
fn network(peer: IpAddr) -> u128 {
    match peer.to_canonical() {
        IpAddr::V4(peer) => u128::from(peer.to_bits()),
        IpAddr::V6(peer) => peer.to_bits() >> 64 << 64,
    }
}

fn too_many(RateLimited(wait): RateLimited) -> Failure {
    let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1);
    let data = serde_json::value::to_raw_value(&serde_json::json!({ "retry_after": seconds })).ok();
    Failure { data, ..Failure::new(Code::BUSY, format!("Too many attempts; try again in {seconds} s")) }
}

pub(super) fn logged_in(token: &str, user: &Identity) -> Result<String, Failure> {
    // Texts always serialise.
    serde_json::to_string(&LoggedIn { token, user }).map_err(|_| Failure::internal(Code::HANDLER))
}

pub(crate) fn not_authenticated() -> Failure {
    Failure::new(Code::NOT_AUTHENTICATED, "Not authenticated")
}

fn session_expired() -> Failure {
    Failure::new(Code::NOT_AUTHENTICATED, "Session expired")
}

/// The time after this one from now, however long it is.
pub(super) fn after(time: Duration) -> SystemTime {
    let now = SystemTime::now();
    now.checked_add(time.min(FOREVER)).unwrap_or(now)
}

/// Ends sessions when their time is over, and looks at them again when somebody else has changed the store.
async fn watch(service: Weak<Service>, live: Arc<Live>) {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let now = SystemTime::now();
        let sleep = live.expire(now).map_or(LONGEST_SLEEP, |due| {
            // A little later than it is due, so that it is due then.
            due.duration_since(now).unwrap_or_default().saturating_add(Duration::from_millis(1)).min(LONGEST_SLEEP)
        });
        tokio::select! {
            () = tokio::time::sleep(sleep) => {}
            () = live.sooner.notified() => {}
            _ = look.tick() => {
                let Some(service) = service.upgrade() else { return };
                if let Ok(true) = service.config.store.has_changed().await {
                    service.look_again().await;
                }
            }
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
    use super::*;

    #[test]
    fn a_peer_is_an_address_or_a_customers_network() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    }

    #[test]
    fn who_tried_too_often_is_told_when_to_come_back() {
        let failure = too_many(RateLimited(Duration::from_millis(1200)));
        assert_eq!((failure.error.as_str(), failure.code), ("Too many attempts; try again in 2 s", Code::BUSY));
        assert_eq!(failure.data.unwrap().get(), r#"{"retry_after":2}"#);
    }

    #[test]
    fn a_lifetime_of_for_ever_is_one() {
        assert!(after(Duration::MAX) > after(Duration::from_secs(3600)));
    }
}
