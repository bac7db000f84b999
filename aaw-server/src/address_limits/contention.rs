//! Whether clients compete for the server, and what share each address has while they do.
//!
//! What a client waits for is a processor: its message has arrived, and its task is ready, but others run. A task measures
//! that delay. While it is short, no rate is limited. When it is too long, each address is limited to a multiple of its
//! guaranteed rate, which falls quickly down to that rate, and rises slowly while the delay is short. Addresses that use
//! less than their share are not affected; those that use most are slowed down as far as the others need it.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::contention_log::ContentionLog;

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

/// How long addresses count as competing after the second one has left, so that a client which comes and goes does not end
/// the limits each time.
const COMPETE_TIME: Duration = Duration::from_secs(1);

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
    max_delay: AtomicDuration,
    /// In eighths; 0 while no rate is limited. Written only when it changes, so that reading it is cheap.
    share: AtomicU32,
    /// The addresses that have connections.
    addresses: AtomicUsize,
    /// Until when addresses count as competing although there are not two.
    compete_until: AtomicDuration,
    /// The start of `compete_until`.
    epoch: Instant,
    /// Notified when the first address connects, and when `max_delay` has changed.
    changed: Notify,
}

/// In nanoseconds; the longest ones are [`Duration::MAX`].
#[derive(Debug)]
struct AtomicDuration(AtomicU64);

impl AtomicDuration {
    fn new(duration: Duration) -> Self {
        Self(AtomicU64::new(Self::nanos(duration)))
    }

    fn load(&self) -> Duration {
        match self.0.load(Ordering::SeqCst) {
            u64::MAX => Duration::MAX,
            nanos => Duration::from_nanos(nanos),
        }
    }

    fn store(&self, duration: Duration) {
        self.0.store(Self::nanos(duration), Ordering::SeqCst);
    }

    fn nanos(duration: Duration) -> u64 {
        u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Contention {
    /// With a `max_delay` of zero, rates are always limited.
    pub(super) fn new(max_delay: Duration) -> Self {
        let share = fixed_share(max_delay).unwrap_or(0);
        Self {
            max_delay: AtomicDuration::new(max_delay),
            share: AtomicU32::new(share),
            addresses: AtomicUsize::new(0),
            compete_until: AtomicDuration::new(Duration::ZERO),
            epoch: Instant::now(),
            changed: Notify::new(),
        }
    }

    /// Sets the delay that is too long. Rates that are to be limited always, or never, are so at once; otherwise none is until
    /// delays have been measured.
    pub(super) fn set_max_delay(&self, max_delay: Duration) {
        if self.max_delay.load() != max_delay {
            self.max_delay.store(max_delay);
            self.share.store(fixed_share(max_delay).unwrap_or(0), Ordering::Relaxed);
            self.changed.notify_waiters();
        }
    }

    /// Counts an address that has connections now.
    pub(super) fn add_address(&self) {
        if self.addresses.fetch_add(1, Ordering::SeqCst) == 0 {
            self.changed.notify_waiters();
        }
    }

    pub(super) fn remove_address(&self) {
        if self.addresses.fetch_sub(1, Ordering::SeqCst) == 2 {
            self.compete_until.store(self.epoch.elapsed() + COMPETE_TIME);
        }
    }

    /// Returns whether there is more than one address, or was just before.
    fn addresses_compete(&self) -> bool {
        self.addresses.load(Ordering::SeqCst) > 1 || self.epoch.elapsed() < self.compete_until.load()
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
        let (mut control, mut log) = (ShareControl::new(self.max_delay.load()), ContentionLog::default());
        loop {
            // Before what it is about is read, so that no notification is lost.
            let changed = self.changed.notified();
            let max_delay = self.max_delay.load();
            if control.max_delay != max_delay {
                control = ShareControl::new(max_delay);
            }
            if let Some(share) = fixed_share(max_delay) {
                self.share.store(share, Ordering::Relaxed);
                log = ContentionLog::default();
                changed.await;
                continue;
            }
            let is_calm = control.share.is_none();
            if is_calm && log.is_current(false) && self.addresses.load(Ordering::SeqCst) == 0 {
                changed.await;
                continue;
            }
            let due = Instant::now() + if is_calm { CALM_INTERVAL } else { BUSY_INTERVAL };
            tokio::time::sleep_until(due).await;
            // Behind the tasks that are ready, as a client's is when its message arrives.
            tokio::task::yield_now().await;
            let now = Instant::now();
            control.handle_delay(now, now.duration_since(due));
            let share = control.share.filter(|_| self.addresses_compete());
            self.set_share(share.map_or(0, |share| Share::of(share).eighths()), log.is_due(now, share.is_some()));
        }
    }

    fn set_share(&self, eighths: u32, log_due: bool) {
        let has_changed = self.share.swap(eighths, Ordering::Relaxed) != eighths;
        let multiple = f64::from(eighths) / 8.0;
        match eighths {
            0 if log_due => tracing::info!("clients do not compete any more: the rates of addresses are not limited"),
            0 => {}
            _ if log_due => {
                tracing::info!("clients compete for the server: each address may use {multiple} times its rates");
            }
            _ if has_changed => tracing::debug!("each address may use {multiple} times its rates"),
            _ => {}
        }
    }
}

/// Returns the share, in eighths, if no delay changes it: rates are always limited, or never.
fn fixed_share(max_delay: Duration) -> Option<u32> {
    match max_delay {
        Duration::ZERO => Some(Share::ONE.eighths()),
        Duration::MAX => Some(0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future, poll_fn};
    use std::pin::Pin;
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

    /// Polls the watch of a server whose tasks wait for this time.
    async fn measure(watch: &mut Pin<Box<impl Future<Output = ()>>>, delay: Duration) {
        let mut poll = async || assert!(poll_fn(|cx| Poll::Ready(watch.as_mut().poll(cx).is_pending())).await);
        poll().await;
        // It is woken after one of the intervals, and polled now.
        tokio::time::advance(CALM_INTERVAL + delay).await;
        poll().await;
        tokio::task::yield_now().await;
        poll().await;
    }

    #[tokio::test(start_paused = true)]
    async fn delays_are_measured_and_limit_rates_only_while_addresses_compete() {
        for (addresses, expected) in [(2, Some(Share::ONE)), (1, None)] {
            let contention = Contention::new(MAX);
            (0..addresses).for_each(|_| contention.add_address());
            measure(&mut Box::pin(contention.watch()), 20 * MAX).await;
            assert_eq!(contention.share(), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_delay_that_is_too_long_can_change_in_every_state() {
        let contention = Contention::new(Duration::MAX);
        let mut watch = Box::pin(contention.watch());
        (0..2).for_each(|_| contention.add_address());
        for (max_delay, expected) in [
            (Duration::MAX, None),
            (MAX, Some(Share::ONE)),
            (Duration::from_secs(1), None),
            (Duration::ZERO, Some(Share::ONE)),
            (Duration::MAX, None),
        ] {
            contention.set_max_delay(max_delay);
            assert_eq!(contention.share(), expected.filter(|_| max_delay.is_zero()), "{max_delay:?}");
            measure(&mut watch, 20 * MAX).await;
            measure(&mut watch, 20 * MAX).await;
            assert_eq!(contention.share(), expected, "{max_delay:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_leaves_and_comes_back_does_not_end_the_limits() {
        let contention = Contention::new(MAX);
        contention.add_address();
        let mut watch = Box::pin(contention.watch());
        // Between two measurements.
        contention.add_address();
        contention.remove_address();
        for _ in 0..20 {
            measure(&mut watch, 20 * MAX).await;
            assert_eq!(contention.share(), Some(Share::ONE));
            contention.add_address();
            measure(&mut watch, 20 * MAX).await;
            contention.remove_address();
        }
        let left_at = Instant::now();
        while contention.share().is_some() {
            measure(&mut watch, 20 * MAX).await;
        }
        let limited = left_at.elapsed();
        assert!((COMPETE_TIME..COMPETE_TIME + Duration::from_millis(500)).contains(&limited), "{limited:?}");
    }
}
