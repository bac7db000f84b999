//! The table and the meter, with a time that the tests move.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::ConnectionLimit::{Free, Max};
use super::table::FIRST_SWEEP;
use super::*;
use crate::client_network::ClientNetwork;

const SECOND: Duration = Duration::from_secs(1);

/// Always limited, with small numbers.
const RATES: AddressRates =
    AddressRates { handshakes: 10, calls: 100, bytes: 100_000, contention_delay: Duration::ZERO };

fn network(address: &str) -> ClientNetwork {
    address.parse::<IpAddr>().expect("an address").into()
}

fn limits(rates: AddressRates) -> (AddressLimits, Instant) {
    (AddressLimits::new(&rates), Instant::now() + SECOND)
}

fn meter(limits: &AddressLimits, address: &str, now: Instant) -> AddressMeter {
    AddressMeter::new(Some(limits.address(network(address), now)))
}

#[test]
fn an_address_may_have_as_many_connections_as_are_free() {
    let rates = AddressRates { contention_delay: Duration::MAX, ..RATES };
    let (limits, now) = limits(rates);
    let (mut permits, mut free) = (Vec::new(), 1000);
    // Each takes as many as it gets: of n addresses, one part in n + 1 each.
    for (address, expected) in [("192.0.2.1", 500), ("192.0.2.2", 250), ("192.0.2.3", 125)] {
        let mut count = 0;
        while let Ok(permit) = limits.connect(network(address), Free(free - 1), now) {
            permits.push(permit);
            free -= 1;
            count += 1;
        }
        assert_eq!(count, expected);
    }
    // The next has its own, and the first ones may not take more, until they close some.
    assert!(limits.connect(network("192.0.2.4"), Free(free - 1), now).is_ok());
    let refusal = limits.connect(network("192.0.2.1"), Free(free - 1), now).unwrap_err();
    assert!(refusal.error.contains("connections from your address") && (5..10).contains(&refusal.retry_after));
    permits.drain(..400);
    assert!(limits.connect(network("192.0.2.1"), Free(free + 400), now).is_ok());
}

#[test]
fn a_number_of_connections_is_a_limit_whatever_is_free_and_sixteenfold_for_a_site() {
    let (limits, now) = limits(AddressRates { contention_delay: Duration::MAX, ..RATES });
    let mut permits = Vec::new();
    for n in 0..20 {
        for _ in 0..3 {
            permits.extend(limits.connect(network(&format!("2001:db8:1:{n:x}::1")), Max(2), now));
        }
    }
    assert_eq!(permits.len(), 32, "two of each address, and 32 of the site");
    assert!(limits.connect(network("2001:db8:2::1"), Max(2), now).is_ok(), "another site");
    permits.clear();
    assert!(limits.connect(network("2001:db8:1:3::1"), Max(2), now).is_ok());
}

#[test]
fn connections_a_second_are_limited_and_refused_with_a_time_to_come_back() {
    let (limits, now) = limits(RATES);
    let connect = |address: &str, now| limits.connect(network(address), Free(1000), now).map(drop);
    // Connections that are closed count as well.
    assert_eq!((0..50).filter(|_| connect("192.0.2.1", now).is_ok()).count(), 50);
    let times: Vec<_> = (0..5).map(|_| connect("192.0.2.1", now).unwrap_err().retry_after).collect();
    assert_eq!(times, [1, 2, 3, 4, 5], "they do not all come back at once");
    assert_eq!(connect("192.0.2.2", now), Ok(()));
    assert_eq!((0..50).filter(|_| connect("192.0.2.1", now + SECOND).is_ok()).count(), 10);
}

#[test]
fn a_site_with_many_networks_is_limited_to_those_of_sixteen() {
    let (limits, now) = limits(RATES);
    let connected =
        (0..65_536).filter(|n| limits.connect(network(&format!("2001:db8:1:{n:x}::1")), Free(1 << 20), now).is_ok());
    assert_eq!(connected.count(), 16 * 50);
}

#[test]
fn entries_leave_the_table_when_nothing_needs_them() {
    let (limits, now) = limits(RATES);
    let kept = limits.connect(network("2001:db8::1"), Free(1000), now).expect("it is the first");
    for n in 0..10_000u32 {
        // A second later their buckets are full again.
        let now = now + n * SECOND;
        limits
            .connect(IpAddr::from(n.to_be_bytes()).into(), Free(1000), now)
            .map(drop)
            .expect("the first of its address");
        assert!(limits.len() <= FIRST_SWEEP + 1, "{}", limits.len());
    }
    assert!(Arc::ptr_eq(kept.address(), &limits.address(network("2001:db8::2"), now)));
}

#[test]
fn the_table_is_bounded_although_all_entries_remember_something() {
    let (limits, now) = limits(RATES);
    for n in 0..400_000u32 {
        limits
            .connect(IpAddr::from(n.to_be_bytes()).into(), Free(1000), now)
            .map(drop)
            .expect("the first of its address");
    }
    assert!(limits.len() <= 3 * 65_536, "{}", limits.len());
}

#[test]
fn bytes_beyond_the_rate_are_read_later_in_portions() {
    let (limits, mut now) = limits(RATES);
    let mut meters = [meter(&limits, "192.0.2.1", now), meter(&limits, "192.0.2.1", now)];
    let start = now;
    let mut read = 0;
    while now < start + 10 * SECOND {
        for meter in &mut meters {
            if let Some(len) = meter.before_read(now, 64 << 10) {
                meter.count_bytes(len);
                read += len;
            }
        }
        now += Duration::from_millis(1);
    }
    // The burst, ten seconds, and what each connection holds back.
    assert!((1_000_000..1_400_000).contains(&read), "{read}");
    let mut other = meter(&limits, "192.0.2.2", now);
    assert_eq!(other.before_read(now, 64 << 10), Some(64 << 10));
}

#[test]
fn empty_frames_use_up_the_rate() {
    let (limits, mut now) = limits(RATES);
    let mut meter = meter(&limits, "192.0.2.1", now);
    let (start, mut frames) = (now, 0);
    while now < start + 10 * SECOND {
        match meter.before_read(now, 64 << 10) {
            Some(len) => {
                meter.count_bytes(len);
                meter.count_frames((len / 6) as u32);
                frames += len / 6;
            }
            None => now = meter.due().expect("it waits"),
        }
    }
    // Each counts as 70 bytes. Before the first batch was counted, 64 KiB were read.
    assert!(frames < 11_000 + 10 * 100_000 / 70 + 3000, "{frames}");
}

#[test]
fn calls_wait_and_are_refused_only_if_they_would_wait_for_too_long() {
    let (limits, mut now) = limits(RATES);
    let mut alone = meter(&limits, "192.0.2.1", now);
    let (start, mut calls) = (now, 0);
    // One connection is slowed down, and no call of it is refused.
    while now < start + 10 * SECOND {
        match alone.before_read(now, 1000) {
            Some(_) => {
                assert_eq!(alone.refuse_call(), None);
                (0..10).for_each(|_| alone.count_call(1));
                calls += 10;
            }
            None => now = alone.due().expect("it waits"),
        }
    }
    assert!((1000..1300).contains(&calls), "{calls}");
    // Calls of others of the address are refused while more wait than a second takes.
    let mut others: Vec<_> = (0..10).map(|_| meter(&limits, "192.0.2.1", now)).collect();
    for other in &mut others {
        assert!(other.before_read(now, 1000).is_some());
        other.count_call(64);
        let _ = other.before_read(now, 1000);
    }
    let mut late = meter(&limits, "192.0.2.1", now);
    assert!(late.before_read(now, 1000).is_some(), "it reads, so that its caller learns of it");
    let failure = late.refuse_call().expect("the address has used up its rate");
    assert_eq!((failure.code.as_str(), failure.data.unwrap().get()), ("busy", r#"{"retry_after":7}"#));
    assert!(late.before_read(now + 7 * SECOND, 1000).is_some());
    assert_eq!(late.refuse_call(), None);
}

#[test]
fn the_cost_of_a_call_is_what_it_takes_out_of_the_rate() {
    let (limits, now) = limits(RATES);
    let mut meter = meter(&limits, "192.0.2.1", now);
    meter.count_call(600);
    assert_eq!(meter.before_read(now, 1000), None);
    assert_eq!(meter.due(), Some(now + 5 * SECOND), "a hundred are free, and a hundred a second");
}

#[test]
fn connections_that_end_early_use_the_rate_as_well() {
    let (limits, now) = limits(RATES);
    for _ in 0..100 {
        meter(&limits, "192.0.2.1", now).count_call(63);
    }
    let mut meter = meter(&limits, "192.0.2.1", now);
    assert!(meter.before_read(now, 1000).is_some());
    assert!(meter.refuse_call().is_some());
}

#[test]
fn requests_over_http_wait_and_are_refused_likewise() {
    let (limits, now) = limits(RATES);
    let address = limits.address(network("192.0.2.1"), now);
    assert_eq!(address.take_request(now, 100, 100), Ok(Duration::ZERO));
    assert_eq!(address.take_request(now, 100, 50), Ok(SECOND / 2));
    assert_eq!(address.take_request(now, 100, 100).map(|wait| wait.as_millis()), Ok(1500));
    assert_eq!(address.take_request(now, 100, 1).unwrap_err().data.unwrap().get(), r#"{"retry_after":2}"#);
}

#[test]
fn no_rate_is_limited_while_addresses_do_not_compete() {
    let (limits, now) = limits(AddressRates { contention_delay: Duration::MAX, ..RATES });
    let mut meter = meter(&limits, "192.0.2.1", now);
    for _ in 0..1000 {
        meter.count_bytes(64 << 10);
        meter.count_call(100);
        assert_eq!(meter.before_read(now, 64 << 10), Some(64 << 10));
        assert_eq!(
            (meter.refuse_call(), limits.connect(network("192.0.2.1"), Free(1000), now).map(drop)),
            (None, Ok(()))
        );
    }
}

#[test]
fn changed_rates_apply_to_connections_that_are_open() {
    let (limits, now) = limits(RATES);
    let mut meter = meter(&limits, "192.0.2.1", now);
    meter.count_call(200);
    limits.set_rates(&AddressRates { calls: 1000, bytes: 1_000_000, handshakes: 20, ..RATES });
    // A thousand are free.
    assert_eq!(meter.before_read(now, 1000), Some(1000));
    limits.set_rates(&AddressRates { calls: 10, ..RATES });
    meter.count_call(100);
    assert_eq!(meter.before_read(now, 1000), None);
    assert_eq!((0..200).filter(|_| limits.connect(network("192.0.2.1"), Free(1000), now).is_ok()).count(), 50);
    limits.set_rates(&AddressRates { handshakes: 20, ..RATES });
    let connected = (0..200).filter(|_| limits.connect(network("192.0.2.2"), Free(1000), now).is_ok());
    assert_eq!(connected.count(), 100);
}

#[test]
fn a_pause_that_is_over_is_not_due_although_nothing_is_read() {
    let (limits, now) = limits(RATES);
    let mut meter = meter(&limits, "192.0.2.1", now);
    meter.count_bytes(150_000);
    assert_eq!((meter.before_read(now, 1000), meter.due()), (None, Some(now + SECOND / 2)));
    meter.end_pause(now + SECOND / 4);
    assert!(meter.due().is_some());
    meter.end_pause(now + SECOND / 2);
    assert_eq!(meter.due(), None);
}

#[test]
fn what_the_site_refuses_does_not_count_for_the_address() {
    let (limits, now) = limits(RATES);
    let connect = |n: u32, now| limits.connect(network(&format!("2001:db8:1:{n:x}::1")), Free(1 << 20), now).is_ok();
    assert_eq!((0..1000).filter(|n| connect(*n, now)).count(), 16 * 50);
    assert_eq!((0..100).filter(|_| connect(0xffff, now)).count(), 0);
    assert_eq!((0..100).filter(|_| connect(0xffff, now + SECOND)).count(), 50, "the whole burst of the address");
}

#[test]
fn a_request_is_refused_if_the_bytes_before_it_would_take_too_long() {
    let (limits, now) = limits(RATES);
    let address = limits.address(network("192.0.2.1"), now);
    assert_eq!(address.take_request(now, 300_000, 1), Ok(2 * SECOND), "its own are read by then");
    let refused = address.take_request(now, 1, 1).unwrap_err();
    assert_eq!(refused.error, "Too many bytes from your address; try again in 2 s");
}

/// Counts how often it was told to give up its place.
#[derive(Debug, Default)]
struct SilentConnection(AtomicUsize);

impl PlaceHolder for SilentConnection {
    fn give_up_place(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_silent_connection_is_closed_only_for_one_that_is_admitted() {
    let (limits, now) = limits(RATES);
    let (client, site) = (network("2001:db8:1:1::1"), |n: u32| network(&format!("2001:db8:1:{n:x}::1")));
    let mut permits = vec![limits.connect(client, Max(1), now).expect("a place")];
    let silent = Arc::new(SilentConnection::default());
    let offer = || {
        let mut meter = meter(&limits, "2001:db8:1:1::1", now);
        meter.offer_place(Uuid::new_v4(), now, || Arc::<SilentConnection>::clone(&silent));
        meter
    };
    let closed = || silent.0.load(Ordering::Relaxed);
    let meter = offer();
    // The site is full.
    permits.extend((2..17).map(|n| limits.connect(site(n), Max(1), now).expect("a place of the site")));
    assert!(limits.connect(client, Max(1), now).is_err());
    assert_eq!(closed(), 0);
    permits.truncate(1);
    // The address opens connections too fast.
    let handshakes = limits.address(client, now);
    while handshakes.take_handshake(now).is_ok() {}
    assert!(limits.connect(client, Max(1), now).unwrap_err().error.contains("Too many new connections"));
    assert_eq!(closed(), 0);
    let now = now + 10 * SECOND;
    permits.push(limits.connect(client, Max(1), now).expect("the place of the silent one"));
    assert_eq!(closed(), 1);
    drop(meter);
    // However many are silent, the address has at most twice as many as it may.
    let _meters = [offer(), offer()];
    assert!(limits.connect(client, Max(1), now).is_err());
    assert_eq!(closed(), 1);
}
