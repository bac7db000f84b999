//! Limits attempts by the client's network, and those of an IPv6 network by its site as well.
//!
//! A provider assigns a customer a /48, which has 65 536 /64 networks (see [`ClientNetwork::site`]). Each would have its own
//! tries, and together they would be as many as their owner wants.

use super::config::RateLimit;
use super::limits::{AttemptGuard, AttemptLimiter, CountedAttempt, RateLimited};
use crate::client_network::{ADDRESSES_PER_SITE, ClientNetwork};

/// Limits the attempts from each network, and from each site.
#[derive(Debug)]
pub(super) struct NetworkLimiter {
    networks: AttemptLimiter,
    sites: AttemptLimiter,
}

/// An attempt in the limits of its network and of its site.
#[derive(Debug)]
pub(super) struct NetworkAttempt {
    network: AttemptGuard,
    site: Option<AttemptGuard>,
}

impl NetworkLimiter {
    /// Allows each network this rate, and each site 16 times as much.
    pub(super) fn new(rate: RateLimit) -> Self {
        Self { networks: AttemptLimiter::new(rate), sites: AttemptLimiter::new(of_site(rate)) }
    }

    /// As [`AttemptLimiter::set_rate`].
    pub(super) fn set_rate(&self, rate: RateLimit) {
        self.networks.set_rate(rate);
        self.sites.set_rate(of_site(rate));
    }

    /// As [`AttemptLimiter::reserve`].
    pub(super) async fn reserve(&self, network: ClientNetwork) -> Result<NetworkAttempt, RateLimited> {
        let by_network = self.networks.reserve(network).await?;
        let by_site = match network.site() {
            Some(site) => Some(self.sites.reserve(site).await?),
            None => None,
        };
        Ok(NetworkAttempt { network: by_network, site: by_site })
    }

    /// Counts an attempt at once, whatever its result will be. Returns the limits in which it has counted.
    pub(super) async fn count(&self, network: ClientNetwork) -> Result<Vec<CountedAttempt>, RateLimited> {
        let attempt = self.reserve(network).await?;
        Ok(attempt.guards().map(AttemptGuard::count).collect())
    }
}

/// The rate of a site, if that of a network is `rate`.
fn of_site(rate: RateLimit) -> RateLimit {
    let networks = ADDRESSES_PER_SITE as u32;
    RateLimit::new(rate.burst.max(1).saturating_mul(networks), rate.refill_interval / networks)
}

impl NetworkAttempt {
    /// As [`AttemptGuard::start`].
    pub(super) fn start(self) -> Self {
        Self { network: self.network.start(), site: self.site.map(AttemptGuard::start) }
    }

    /// As [`AttemptGuard::refund`].
    pub(super) fn refund(self) {
        self.guards().for_each(AttemptGuard::refund);
    }

    fn guards(self) -> impl Iterator<Item = AttemptGuard> {
        std::iter::once(self.network).chain(self.site)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv6Addr};
    use std::time::Duration;

    use super::*;

    fn network(site: u16, n: u16) -> ClientNetwork {
        IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, site, n, 0, 0, 0, 1)).into()
    }

    #[tokio::test]
    async fn the_networks_of_a_site_together_have_the_attempts_of_sixteen() {
        let limiter = NetworkLimiter::new(RateLimit::new(2, Duration::from_secs(100_000)));
        let mut failed = 0;
        for n in 0..100 {
            while let Ok(attempt) = limiter.reserve(network(1, n)).await {
                drop(attempt.start());
                failed += 1;
            }
        }
        assert_eq!(failed, 32);
        limiter.reserve(network(2, 0)).await.expect("another site").refund();
        let ipv4 = ClientNetwork::from(IpAddr::from([192, 0, 2, 1]));
        limiter.reserve(ipv4).await.expect("an IPv4 address").refund();
    }

    #[tokio::test]
    async fn what_the_site_refuses_or_is_refunded_does_not_count() {
        let limiter = NetworkLimiter::new(RateLimit::new(1, Duration::from_secs(100_000)));
        for n in 0..16 {
            for counted in limiter.count(network(1, n)).await.expect("a try") {
                if n == 0 {
                    counted.refund();
                }
            }
        }
        assert!(limiter.count(network(1, 1)).await.is_err(), "its own try is used up");
        let last = limiter.count(network(1, 16)).await.expect("the sixteenth of the site");
        assert!(limiter.count(network(1, 17)).await.is_err());
        last.into_iter().for_each(CountedAttempt::refund);
        drop(limiter.count(network(1, 17)).await.expect("the refused one has not counted"));
        assert!(limiter.count(network(1, 0)).await.is_err(), "the site's tries are used up");
    }
}
