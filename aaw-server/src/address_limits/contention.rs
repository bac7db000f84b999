//! Whether clients compete for the server, and what share each address has while they do.
//!
//! What a client waits for is a processor: its message has arrived, and its task is ready, but others run. A task measures
//! that delay. While it is short, no rate is limited. When it is too long, each address is limited to a multiple of its
//! guaranteed rate, which falls quickly down to that rate, and rises slowly while the delay is short. Addresses that use
//! less than their share are not affected; those that use most are slowed down as far as the others need it.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How often the delay is measured while it is short and no rate is limited: 40 times a second costs next to nothing.
const CALM_INTERVAL: Duration = Duration::from_millis(25);

/// How often it is measured otherwise.
const BUSY_INTERVAL: Duration = Duration::from_millis(5);

/// How long the delay must be short before the share rises.
const RISE_INTERVAL: Duration = Duration::from_millis(500);

/// By how much the share rises then. From 1 it takes 9 s until no rate is limited any more.
const RISE: f64 = 1.25;

/// The multiple of its rate that an address has when the delay begins to be too long.
const FIRST_SHARE: f64 = 16.0;

/// The share from which on no rate is limited.
const MAX_SHARE: f64 = 64.0;

/// The delay, as a multiple of the one that is too long, at which the share falls to 1 at once.
const SEVERE: u32 = 4;

/// The multiple of its guaranteed rates that an address may use: 1 or more, in eighths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share(u32);

impl Share {
    pub(super) const ONE: Self = Self(8);

    pub(super) fn of(multiple: f64) -> Self {
        Self(((multiple * 8.0) as u32).max(8))
    }

    pub(super) fn eighths(self) -> u32 {
        self.0
    }
}

/// Decides about the share, from the delays that are measured.
#[derive(Debug)]
struct ShareControl {
    max_delay: Duration,
    /// `None` while no rate is limited.
    share: Option<f64>,
    /// Since when the delay is short, or the share has risen.
    calm_since: Option<Instant>,
}

impl ShareControl {
    fn new(max_delay: Duration) -> Self {
        Self { max_delay, share: None, calm_since: None }
    }

    fn handle_delay(&mut self, now: Instant, delay: Duration) {
        if delay > self.max_delay {
            self.calm_since = None;
            let is_severe = delay >= self.max_delay.saturating_mul(SEVERE);
            self.share = Some(match self.share {
                _ if is_severe => 1.0,
                None => FIRST_SHARE,
                Some(share) => (share / 2.0).max(1.0),
            });
        } else if delay > self.max_delay / 2 {
            self.calm_since = None;
        } else if let Some(share) = self.share {
            let since = *self.calm_since.get_or_insert(now);
            if now.duration_since(since) >= RISE_INTERVAL {
                self.calm_since = Some(now);
                self.share = Some(share * RISE).filter(|share| *share < MAX_SHARE);
            }
        }
    }
}

/// The present share, as connections read it.
#[derive(Debug)]
pub(super) struct Contention {
    max_delay: Duration,
    /// In eighths; 0 while no rate is limited. Written only when it changes, so that reading it is cheap.
    share: AtomicU32,
    /// The addresses that have connections.
    addresses: AtomicUsize,
    /// Notified when the first of them connects.
    has_address: Notify,
}

impl Contention {
    /// With a `max_delay` of zero, rates are always limited.
    pub(super) fn new(max_delay: Duration) -> Self {
        let share = if max_delay.is_zero() { Share::ONE.eighths() } else { 0 };
        Self { max_delay, share: AtomicU32::new(share), addresses: AtomicUsize::new(0), has_address: Notify::new() }
    }

    /// Counts an address that has connections now.
    pub(super) fn add_address(&self) {
        if self.addresses.fetch_add(1, Ordering::SeqCst) == 0 {
            self.has_address.notify_waiters();
        }
    }

    pub(super) fn remove_address(&self) {
        self.addresses.fetch_sub(1, Ordering::SeqCst);
    }

    /// Waits until there is an address. Returns whether there is more than one.
    async fn has_several_addresses(&self) -> bool {
        loop {
            // Before the count is read, so that no notification is lost.
            let has_address = self.has_address.notified();
            match self.addresses.load(Ordering::SeqCst) {
                0 => has_address.await,
                addresses => return addresses > 1,
            }
        }
    }

    /// Returns the share of each address; `None` while no rate is limited.
    pub(super) fn share(&self) -> Option<Share> {
        match self.share.load(Ordering::Relaxed) {
            0 => None,
            eighths => Some(Share(eighths)),
        }
    }

    /// Measures the delay, as long as it is polled. A single address competes with none, so its rates are not limited.
    pub(super) async fn watch(&self) {
        // Rates are always limited, or never.
        if self.max_delay.is_zero() || self.max_delay == Duration::MAX {
            return;
        }
        let mut control = ShareControl::new(self.max_delay);
        loop {
            let compete = self.has_several_addresses().await;
            let is_calm = control.share.is_none();
            let due = Instant::now() + if is_calm { CALM_INTERVAL } else { BUSY_INTERVAL };
            tokio::time::sleep_until(due).await;
            // Behind the tasks that are ready, as a client's is when its message arrives.
            tokio::task::yield_now().await;
            let now = Instant::now();
            control.handle_delay(now, now.duration_since(due));
            let share = control.share.filter(|_| compete).map_or(0, |share| Share::of(share).eighths());
            set(&self.share, share);
        }
    }
}

fn set(share: &AtomicU32, eighths: u32) {
    let before = share.load(Ordering::Relaxed);
    if before == eighths {
        return;
    }
    share.store(eighths, Ordering::Relaxed);
    let multiple = f64::from(eighths) / 8.0;
    // The first two alternate in some seconds at least, since the share rises slowly.
    match (before, eighths) {
        (0, _) => tracing::info!("clients compete for the server: each address may use {multiple} times its rates"),
        (_, 0) => tracing::info!("clients do not compete any more: the rates of addresses are not limited"),
        _ => tracing::debug!("each address may use {multiple} times its rates"),
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future as _, poll_fn};
    use std::task::Poll;

    use super::*;

    const MAX: Duration = Duration::from_millis(5);

    fn handle(control: &mut ShareControl, now: &mut Instant, delays: impl IntoIterator<Item = u64>) -> Option<f64> {
        for delay in delays {
            *now += BUSY_INTERVAL;
            control.handle_delay(*now, Duration::from_millis(delay));
        }
        control.share
    }

    #[test]
    fn rates_are_limited_from_the_first_long_delay_on_and_the_more_the_longer_it_lasts() {
        let (mut control, mut now) = (ShareControl::new(MAX), Instant::now());
        assert_eq!(handle(&mut control, &mut now, [0, 1, 5, 3]), None);
        assert_eq!(handle(&mut control, &mut now, [6]), Some(FIRST_SHARE));
        assert_eq!(handle(&mut control, &mut now, [6]), Some(FIRST_SHARE / 2.0));
        assert_eq!(handle(&mut control, &mut now, [6; 10]), Some(1.0), "not less than what is guaranteed");
    }

    #[test]
    fn a_severe_delay_limits_rates_to_what_is_guaranteed_at_once() {
        let (mut control, mut now) = (ShareControl::new(MAX), Instant::now());
        assert_eq!(handle(&mut control, &mut now, [20]), Some(1.0));
    }

    #[test]
    fn the_share_rises_slowly_until_nothing_is_limited() {
        let (mut control, mut now) = (ShareControl::new(MAX), Instant::now());
        let start = now;
        handle(&mut control, &mut now, [100]);
        let mut rises = 0;
        while let Some(before) = control.share {
            let after = handle(&mut control, &mut now, [1]);
            assert!(after.is_none_or(|after| after >= before));
            rises += u32::from(after != Some(before));
        }
        assert_eq!(rises, 19);
        assert!((Duration::from_secs(9)..Duration::from_secs(10)).contains(&(now - start)), "{:?}", now - start);
    }

    #[test]
    fn it_does_not_rise_while_delays_are_nearly_too_long() {
        let (mut control, mut now) = (ShareControl::new(MAX), Instant::now());
        assert_eq!(handle(&mut control, &mut now, [100].into_iter().chain([4; 1000])), Some(1.0));
    }

    #[tokio::test(start_paused = true)]
    async fn delays_are_measured_and_limit_rates_only_while_addresses_compete() {
        for (addresses, expected) in [(2, Some(Share::ONE)), (1, None)] {
            let contention = Contention::new(MAX);
            (0..addresses).for_each(|_| contention.add_address());
            let mut watch = Box::pin(contention.watch());
            let mut poll = async || poll_fn(|cx| Poll::Ready(watch.as_mut().poll(cx).is_pending())).await;
            assert!(poll().await);
            // It would have been woken after 25 ms.
            tokio::time::advance(Duration::from_millis(100)).await;
            assert!(poll().await);
            tokio::task::yield_now().await;
            assert!(poll().await);
            assert_eq!(contention.share(), expected);
        }
    }
}
