//! What one client address may do: open connections, connections and handshakes a second, calls a second, bytes a second.
//!
//! An *address* is an IPv4 address or the /64 network of an IPv6 address ([`ClientNetwork`]). The /48 network that contains
//! it, its *site*, is limited as well, to [`ADDRESSES_PER_SITE`] times as much: otherwise a customer with a /48 would count
//! as 65 536 addresses.
//!
//! - [`AddressLimits`] is the table of addresses. A connection is admitted there and keeps an [`AddressPermit`].
//! - [`AddressMeter`] counts what one connection does, without touching memory that connections share, and takes it out of the
//!   address's [buckets](bucket) in batches.
//! - [`contention`] measures whether clients compete. While they do not, no rate is limited and the buckets are not touched.
//!
//! How many *connections* an address may have depends on nothing else than how many are free: as many as that. So one
//! address gets half of all connections at most, and *n* addresses leave one part in *n* + 1 free. If the number is configured, a
//! [silent] connection of an address makes room for a new one.

mod bucket;
mod contention;
mod contention_log;
mod meter;
mod silent;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use meter::AddressMeter;
pub(crate) use silent::PlaceHolder;
pub(crate) use table::{
    ActiveAddress, Address, AddressLimits, AddressPermit, AddressRates, AddressRefusal, ConnectionLimit,
};
