//! What the limits that apply to a client's address count as one client.

use std::net::IpAddr;

/// The limits of a site, as a multiple of those of one address: a household or a small office has few /64 networks, and a
/// provider that gives its customers a /64 each has its limit far above what they use.
pub(crate) const ADDRESSES_PER_SITE: usize = 16;

/// Returns the limit of a site, by that of an address and that of all clients: the one of several addresses, but at most half of all,
/// unless an address may have more.
pub(crate) const fn site_limit(address: usize, total: usize) -> usize {
    let (several, half) = (address.saturating_mul(ADDRESSES_PER_SITE), total / 2);
    let limit = if several < half { several } else { half };
    if limit > address { limit } else { address }
}

/// An IPv4 address, or the /64 network of an IPv6 address, which providers assign to a single customer.
///
/// In eight bytes: no IPv6 address that a client can have begins as an IPv4 address would, since `::/8` is reserved
/// (RFC 4291, 2.4) except for `::1`, which shares the number of `0.0.0.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ClientNetwork(u64);

impl From<IpAddr> for ClientNetwork {
    fn from(address: IpAddr) -> Self {
        // An IPv4 client of a socket that listens on `::` has an IPv6 address.
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.to_bits().into(),
            IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
        })
    }
}

impl ClientNetwork {
    /// Returns the /48 network that contains that of an IPv6 address. Providers assign one to a site (RFC 6177), which has
    /// 65 536 /64 networks.
    pub(crate) fn site(self) -> Option<Self> {
        // An IPv4 address has at most 32 bits.
        (self.0 > u32::MAX.into()).then_some(Self(self.0 & !0xffff))
    }

    /// Returns what shares among all clients are counted for: the site of an IPv6 address, or an IPv4 address itself.
    pub(crate) fn client(self) -> Self {
        self.site().unwrap_or(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str) -> ClientNetwork {
        address.parse::<IpAddr>().expect("an address").into()
    }

    #[test]
    fn an_ipv4_address_is_a_client_and_of_ipv6_a_network_is() {
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("192.0.2.1"), network("::ffff:192.0.2.1"));
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::2"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_ne!(network("::1"), network("127.0.0.1"));
    }

    #[test]
    fn a_site_may_have_several_times_as_much_as_an_address_and_not_all() {
        assert_eq!(site_limit(64, 10_000), 1024);
        assert_eq!(site_limit(64, 512), 256);
        assert_eq!(site_limit(512, 512), 512);
        assert_eq!(site_limit(usize::MAX, usize::MAX), usize::MAX);
    }

    #[test]
    fn the_site_of_an_ipv6_address_is_a_48_network() {
        assert_eq!(network("2001:db8:1:2::1").site(), network("2001:db8:1:ffff::1").site());
        assert_ne!(network("2001:db8:1:2::1").site(), network("2001:db8:2:2::1").site());
        assert_eq!([network("255.255.255.255").site(), network("::1").site()], [None, None]);
    }
}
