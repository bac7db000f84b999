//! Limits how many password resets may be requested for an e-mail address, without keeping its owner from requesting one.
//!
//! A request counts in up to two buckets, as a [log-in](super::log_in_limits) does:
//!
//! - that of the pair of e-mail address and client, which is tight: a stranger uses up the pair of their own network. All networks
//!   of an IPv6 site are one client, or those of one customer could empty the other bucket,
//! - that of the e-mail address over all networks, which is loose: it limits the messages that its owner receives. Networks from
//!   which the user has logged in lately are exempt, so that emptying it does not shut out the owner there.

use std::net::IpAddr;
use std::sync::Arc;

use super::config::Auth;
use super::known_networks::KnownNetworks;
use super::limits::{AttemptGuard, AttemptLimiter, CountedAttempt, RateLimited};
use crate::client_network::ClientNetwork;
use crate::client_turns::client;

pub(super) struct ResetLimits {
    by_pair: AttemptLimiter,
    by_email: AttemptLimiter,
    known: Arc<KnownNetworks>,
}

impl ResetLimits {
    pub(super) fn new(config: &Auth, known: Arc<KnownNetworks>) -> Self {
        Self {
            by_pair: AttemptLimiter::new(config.resets_per_email_and_ip),
            by_email: AttemptLimiter::new(config.resets_per_email),
            known,
        }
    }

    /// Takes over the limits of another configuration.
    pub(super) fn update(&self, config: &Auth) {
        self.by_pair.set_rate(config.resets_per_email_and_ip);
        self.by_email.set_rate(config.resets_per_email);
    }

    /// Counts a request. One that is refused counts in neither bucket. Returns the limits in which it has counted.
    pub(super) async fn count(&self, email: &str, peer: Option<IpAddr>) -> Result<Vec<CountedAttempt>, RateLimited> {
        let by_pair = self.by_pair.reserve((email, client(peer))).await?;
        let network = peer.map(ClientNetwork::from);
        let is_known = network.is_some_and(|network| self.known.contains(email, network));
        let by_email = if is_known { None } else { Some(self.by_email.reserve(email).await?) };
        Ok([by_pair].into_iter().chain(by_email).map(AttemptGuard::count).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Store;

    struct NoStore;
    impl Store for NoStore {}

    const EMAIL: &str = "ada@example.com";

    fn peer(n: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, n]))
    }

    fn limits() -> ResetLimits {
        ResetLimits::new(&Auth::new(NoStore), Arc::new(KnownNetworks::new()))
    }

    /// Requests resets from a network until it is refused. Returns how many there were.
    async fn use_up(limits: &ResetLimits, from: u8) -> usize {
        let mut count = 0;
        while limits.count(EMAIL, peer(from)).await.is_ok() {
            count += 1;
        }
        count
    }

    #[tokio::test]
    async fn a_network_uses_up_its_own_limit_and_the_owner_requests_from_another() {
        let limits = limits();
        assert_eq!(use_up(&limits, 1).await, 3);
        for _ in 0..100 {
            let RateLimited(wait) = limits.count(EMAIL, peer(1)).await.expect_err("it is used up");
            assert!((298..=300).contains(&wait.as_secs()), "{wait:?}");
        }
        assert_eq!(use_up(&limits, 2).await, 3);
        assert!(limits.count("bob@example.com", peer(1)).await.is_ok(), "another address");
    }

    #[tokio::test]
    async fn the_networks_of_an_ipv6_site_have_the_limit_of_one() {
        let limits = limits();
        let peer = |site: u16, n: u16| Some(IpAddr::from([0x2001, 0xdb8, site, n, 0, 0, 0, 1]));
        for n in 0..10 {
            assert_eq!(limits.count(EMAIL, peer(1, n)).await.is_ok(), n < 3, "{n}");
        }
        assert!(limits.count(EMAIL, peer(2, 0)).await.is_ok(), "another site");
    }

    #[tokio::test]
    async fn networks_together_use_up_the_limit_of_the_address_but_not_for_known_ones() {
        let limits = limits();
        limits.known.add(EMAIL, ClientNetwork::from(IpAddr::from([192, 0, 2, 200])));
        let mut count = 0;
        for n in 0..20 {
            count += use_up(&limits, n).await;
        }
        assert_eq!(count, 15);
        assert_eq!(use_up(&limits, 201).await, 0, "a network that is not known");
        assert_eq!(use_up(&limits, 200).await, 3);
    }

    #[tokio::test]
    async fn what_is_refused_by_the_address_or_refunded_does_not_count_for_the_network() {
        let limits = limits();
        let mut last = Vec::new();
        for n in 0..5 {
            for _ in 0..3 {
                last = limits.count(EMAIL, peer(n)).await.expect("a place");
            }
        }
        for _ in 0..10 {
            assert!(limits.count(EMAIL, peer(5)).await.is_err());
        }
        assert_eq!(last.len(), 2);
        last.into_iter().for_each(CountedAttempt::refund);
        assert_eq!(use_up(&limits, 5).await, 1, "the place in the limit of the address");
    }
}
