//! Limits how many log-ins may fail, so that passwords cannot be guessed, without shutting out their owners.
//!
//! A log-in counts in up to four buckets:
//!
//! - that of the client's network, whichever addresses it tries, and of an IPv6 network that of its site;
//! - that of the pair of e-mail address and network, which is tight: a person who guesses uses up the pairs of their own
//!   network, and the owner logs in from another one;
//! - that of the e-mail address over all networks, which is loose: it limits guesses from many networks.
//!   Networks from which the user has logged in lately are exempt, so that emptying it does not shut out its owner, as
//!   NIST SP 800-63B suggests (5.2.2 of revision 3). From elsewhere the user can still set a new password by a reset.
//!
//! A success empties the pair's count, as NIST SP 800-63B asks in the same section.

use std::net::IpAddr;
use std::sync::Arc;

use super::config::Auth;
use super::known_networks::KnownNetworks;
use super::limits::{AttemptGuard, AttemptLimiter, RateLimited};
use super::network_limits::{NetworkAttempt, NetworkLimiter};
use crate::client_network::ClientNetwork;

pub(super) struct LogInLimits {
    by_network: NetworkLimiter,
    by_pair: AttemptLimiter,
    by_email: AttemptLimiter,
    known: Arc<KnownNetworks>,
}

/// A log-in that runs. Dropping it counts it as failed in each bucket.
#[derive(Debug)]
pub(super) struct LogInAttempt {
    by_network: Option<NetworkAttempt>,
    by_pair: AttemptGuard,
    /// `None` from a known network.
    by_email: Option<AttemptGuard>,
}

impl LogInLimits {
    pub(super) fn new(config: &Auth, known: Arc<KnownNetworks>) -> Self {
        Self {
            by_network: NetworkLimiter::new(config.failed_logins_per_ip),
            by_pair: AttemptLimiter::new(config.failed_logins_per_email_and_ip),
            by_email: AttemptLimiter::new(config.failed_logins_per_email),
            known,
        }
    }

    /// Takes over the limits of another configuration.
    pub(super) fn update(&self, config: &Auth) {
        self.by_network.set_rate(config.failed_logins_per_ip);
        self.by_pair.set_rate(config.failed_logins_per_email_and_ip);
        self.by_email.set_rate(config.failed_logins_per_email);
    }

    /// Begins a log-in, if necessary after others have ended. A log-in that is refused does not count, and neither does one
    /// that is dropped while it waits: it has tried no password.
    pub(super) async fn attempt(&self, email: &str, peer: Option<IpAddr>) -> Result<LogInAttempt, RateLimited> {
        let network = peer.map(ClientNetwork::from);
        let by_network = match network {
            Some(network) => Some(self.by_network.reserve(network).await?),
            None => None,
        };
        let by_pair = self.by_pair.reserve((email, network)).await?;
        let is_known = network.is_some_and(|network| self.known.contains(email, network));
        let by_email = if is_known { None } else { Some(self.by_email.reserve(email).await?) };
        Ok(LogInAttempt {
            by_network: by_network.map(NetworkAttempt::start),
            by_pair: by_pair.start(),
            by_email: by_email.map(AttemptGuard::start),
        })
    }

    /// Records that the user with this address was let in from this client address.
    pub(super) fn succeeded(&self, email: &str, peer: Option<IpAddr>) {
        if let Some(peer) = peer {
            self.known.add(email, ClientNetwork::from(peer));
        }
    }
}

impl LogInAttempt {
    /// Ends the attempt without counting it: it failed for a reason that is not the client's.
    pub(super) fn refund(self) {
        self.by_network.into_iter().for_each(NetworkAttempt::refund);
        [self.by_pair].into_iter().chain(self.by_email).for_each(AttemptGuard::refund);
    }

    /// Ends the attempt as a success, and forgets the failures of this user from this network.
    pub(super) fn succeed(self) {
        self.by_network.into_iter().for_each(NetworkAttempt::refund);
        self.by_email.into_iter().for_each(AttemptGuard::refund);
        self.by_pair.reset();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::auth::{RateLimit, Store};

    struct NoStore;
    impl Store for NoStore {}

    fn new(config: &Auth) -> LogInLimits {
        LogInLimits::new(config, Arc::new(KnownNetworks::new()))
    }

    fn peer(n: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, n]))
    }

    async fn fail(limits: &LogInLimits, from: u8) -> bool {
        limits.attempt("ada@example.com", peer(from)).await.map(drop).is_ok()
    }

    #[tokio::test]
    async fn a_network_that_guesses_uses_up_its_own_bucket_only() {
        let limits = new(&Auth::new(NoStore));
        let mut tried = 0;
        while fail(&limits, 1).await {
            tried += 1;
        }
        assert_eq!(tried, 10);
        let RateLimited(wait) = limits.attempt("ada@example.com", peer(1)).await.unwrap_err();
        assert!((28..=30).contains(&wait.as_secs()), "{wait:?}");
        // Another address from there, and the same address from elsewhere.
        limits.attempt("bob@example.com", peer(1)).await.unwrap().succeed();
        limits.attempt("ada@example.com", peer(2)).await.unwrap().succeed();
    }

    #[tokio::test]
    async fn networks_together_use_up_the_bucket_of_the_address_but_not_for_known_ones() {
        let limits = new(&Auth::new(NoStore));
        limits.attempt("ada@example.com", peer(200)).await.unwrap().succeed();
        limits.succeeded("ada@example.com", peer(200));
        let mut tried = 0;
        for n in 0..50 {
            while fail(&limits, n).await {
                tried += 1;
            }
        }
        assert_eq!(tried, 100, "fifty networks have no more tries than ten");
        assert!(!fail(&limits, 201).await, "a network that is not known");
        limits.attempt("ada@example.com", peer(200)).await.unwrap().succeed();
        // The known network has its own bucket.
        let mut tried = 0;
        while fail(&limits, 200).await {
            tried += 1;
        }
        assert_eq!(tried, 10);
    }

    #[tokio::test]
    async fn a_refused_attempt_counts_nowhere() {
        let config = Auth {
            failed_logins_per_email: RateLimit::new(1, Duration::from_secs(1000)),
            failed_logins_per_email_and_ip: RateLimit::new(5, Duration::from_secs(1000)),
            failed_logins_per_ip: RateLimit::new(2, Duration::from_secs(1000)),
            ..Auth::new(NoStore)
        };
        let limits = new(&config);
        assert!(fail(&limits, 1).await);
        for _ in 0..10 {
            assert!(!fail(&limits, 1).await);
        }
        // One failure of this network, out of two.
        drop(limits.attempt("bob@example.com", peer(1)).await.unwrap());
        assert!(limits.attempt("eve@example.com", peer(1)).await.is_err());
    }

    #[tokio::test]
    async fn a_success_forgets_the_failures_of_its_pair() {
        let limits = new(&Auth::new(NoStore));
        for _ in 0..5 {
            for _ in 0..9 {
                assert!(fail(&limits, 1).await);
            }
            limits.attempt("ada@example.com", peer(1)).await.unwrap().succeed();
        }
    }

    #[tokio::test]
    async fn a_log_in_that_is_dropped_while_it_waits_counts_nowhere() {
        let config = Auth {
            failed_logins_per_email: RateLimit::new(1, Duration::from_secs(1000)),
            failed_logins_per_email_and_ip: RateLimit::new(2, Duration::from_secs(1000)),
            failed_logins_per_ip: RateLimit::new(2, Duration::from_secs(1000)),
            ..Auth::new(NoStore)
        };
        let limits = new(&config);
        let running = limits.attempt("ada@example.com", peer(1)).await.unwrap();
        for _ in 0..5 {
            // It waits for the bucket of the address, after it has taken from the other two.
            let waiting = limits.attempt("ada@example.com", peer(1));
            assert!(futures_util::FutureExt::now_or_never(waiting).is_none());
        }
        running.refund();
        for email in ["bob@example.com", "eve@example.com"] {
            drop(limits.attempt(email, peer(1)).await.unwrap());
        }
        assert!(limits.attempt("ada@example.com", peer(1)).await.is_err());
    }
}
