//! Password resets that were requested: stored and delivered after their callers have received the response.
//!
//! The response must not reveal whether the e-mail address is registered, neither by its text nor by the time it takes. So
//! it is sent when the request is in a queue, and one task does what depends on the address: it makes the token, stores it,
//! and starts the delivery if there is such a user.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

use super::config::{PasswordReset, ResetHook};
use super::email::Email;
use super::expiry::time_after;
use super::fair_queue::{Class, FairQueue};
use super::limits::CountedAttempt;
use super::store::{Store, StoreError};
use super::token::{TokenHash, random_token};
use crate::client_turns::Client;
use crate::throttle::Throttle;

/// The requests that wait, in all and of one client: about 1 MB, and some seconds of work for a disk. 64 clients have to ask
/// at once to fill it, so one cannot. Then the latest request of the client with most makes place for that of another.
const MAX_WAITING: usize = 4096;
const MAX_WAITING_OF_CLIENT: usize = 64;

/// When a client for which there is no place may ask again.
pub(super) const FULL_QUEUE_TIME: Duration = Duration::from_secs(5);

/// How often storing a token is tried, and the time between two tries: another program may hold the lock of the file.
const TRIES: u32 = 3;
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Deliveries that run at the same time, and those that wait for one of them to end.
const MAX_DELIVERIES: usize = 64;
const MAX_WAITING_DELIVERIES: usize = 1024;

/// The time limit of one delivery.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(60);

/// A reset that was requested for an address.
pub(super) struct ResetRequest {
    pub(super) email: Email,
    /// Delivers the token.
    pub(super) hook: ResetHook,
    pub(super) client: Client,
    /// The limits in which the request counts; it is refunded if there is no place for it.
    pub(super) counted: Vec<CountedAttempt>,
}

impl ResetRequest {
    fn refund(self) {
        self.counted.into_iter().for_each(CountedAttempt::refund);
    }
}

/// Takes requests for the task that handles them. The task ends when this is dropped and the queue is empty.
pub(super) struct ResetRequests(Arc<Shared>);

struct Shared {
    queue: Mutex<ResetQueue>,
    /// Wakes the task when a request was added, and when the queue is closed.
    changed: Notify,
    /// Whether the store has turned out not to support resets.
    not_offered: AtomicBool,
    displaced: Throttle,
}

struct ResetQueue {
    waiting: FairQueue<ResetRequest>,
    is_closed: bool,
}

/// What the task needs.
struct ResetTask {
    shared: Arc<Shared>,
    store: Arc<dyn Store>,
    lifetime: Duration,
    deliveries: Arc<Deliveries>,
    store_failures: Throttle,
}

struct Deliveries {
    running: Semaphore,
    waiting: Arc<Semaphore>,
    failures: Throttle,
}

impl ResetRequests {
    /// Starts the task. Tokens are valid for `lifetime`.
    pub(super) fn start(store: Arc<dyn Store>, lifetime: Duration) -> Self {
        let shared = Arc::new(Shared {
            queue: Mutex::new(ResetQueue { waiting: FairQueue::new(MAX_WAITING), is_closed: false }),
            changed: Notify::new(),
            not_offered: AtomicBool::new(false),
            displaced: Throttle::default(),
        });
        let deliveries = Deliveries {
            running: Semaphore::new(MAX_DELIVERIES),
            waiting: Arc::new(Semaphore::new(MAX_DELIVERIES + MAX_WAITING_DELIVERIES)),
            failures: Throttle::default(),
        };
        let task = ResetTask {
            shared: Arc::clone(&shared),
            store,
            lifetime,
            deliveries: Arc::new(deliveries),
            store_failures: Throttle::default(),
        };
        tokio::spawn(task.run());
        Self(shared)
    }

    /// Adds a request. One that is refused is refunded.
    ///
    /// # Errors
    /// [`StoreError::BusyFor`] if too many wait; [`StoreError::NotOffered`] if the store is known not to support resets.
    pub(super) fn add(&self, request: ResetRequest) -> Result<(), StoreError> {
        let shared = &self.0;
        if shared.not_offered.load(Ordering::Relaxed) {
            request.refund();
            return Err(StoreError::NotOffered);
        }
        let mut queue = shared.lock();
        let waiting = &mut queue.waiting;
        let added = if waiting.len_of(Class::Normal, request.client) < MAX_WAITING_OF_CLIENT {
            waiting.push(Class::Normal, request.client, request)
        } else {
            Err(request)
        };
        drop(queue);
        match added {
            Ok(displaced) => {
                shared.changed.notify_one();
                if let Some(displaced) = displaced {
                    displaced.refund();
                    if let Some(suppressed) = shared.displaced.pass() {
                        tracing::warn!(
                            suppressed,
                            "a password reset that was requested was dropped: {MAX_WAITING} others wait for the store"
                        );
                    }
                }
                Ok(())
            }
            Err(refused) => {
                refused.refund();
                Err(StoreError::BusyFor(FULL_QUEUE_TIME))
            }
        }
    }
}

impl Drop for ResetRequests {
    fn drop(&mut self) {
        self.0.lock().is_closed = true;
        self.0.changed.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, ResetQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the next request; `None` when the queue is closed and empty.
    async fn next(&self) -> Option<ResetRequest> {
        loop {
            {
                let mut queue = self.lock();
                let next = queue.waiting.pop();
                if next.is_some() || queue.is_closed {
                    return next;
                }
            }
            // A wake-up in between is kept.
            self.changed.notified().await;
        }
    }
}

impl ResetTask {
    async fn run(self) {
        while let Some(request) = self.shared.next().await {
            self.handle(request).await;
        }
    }

    async fn handle(&self, ResetRequest { email, hook, .. }: ResetRequest) {
        let token = random_token();
        let mut tries = 1;
        let stored = loop {
            let stored =
                self.store.request_reset(email.clone(), TokenHash::of(&token), time_after(self.lifetime)).await;
            let is_final = matches!(stored, Ok(_) | Err(StoreError::NotOffered));
            if is_final || tries >= TRIES {
                break stored;
            }
            tries += 1;
            tokio::time::sleep(RETRY_INTERVAL).await;
        };
        match stored {
            Ok(Some(user)) => self.deliveries.start(&hook, PasswordReset::new(user, token)),
            Ok(None) => {}
            Err(error) => {
                if matches!(error, StoreError::NotOffered) {
                    self.shared.not_offered.store(true, Ordering::Relaxed);
                }
                if let Some(suppressed) = self.store_failures.pass() {
                    tracing::error!(suppressed, "a password reset was requested and could not be stored: {error}");
                }
            }
        }
    }
}

impl Deliveries {
    /// Delivers the token of a reset, when others have been delivered.
    fn start(self: &Arc<Self>, hook: &ResetHook, reset: PasswordReset) {
        let user = reset.user.id.clone();
        let Ok(place) = Arc::clone(&self.waiting).try_acquire_owned() else {
            return self.log_failure(&user, format_args!("{MAX_WAITING_DELIVERIES} others wait"));
        };
        let (deliveries, hook) = (Arc::clone(self), Arc::clone(hook));
        tokio::spawn(async move {
            let _place = place;
            // The semaphore is never closed.
            let _permit = deliveries.running.acquire().await;
            match tokio::time::timeout(DELIVERY_TIMEOUT, hook(reset)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => deliveries.log_failure(&user, format_args!("{error}")),
                Err(_) => {
                    let seconds = DELIVERY_TIMEOUT.as_secs();
                    deliveries.log_failure(&user, format_args!("the hook did not complete in {seconds} s"));
                }
            }
        });
    }

    fn log_failure(&self, user: &str, why: std::fmt::Arguments<'_>) {
        if let Some(suppressed) = self.failures.pass() {
            tracing::error!(user, suppressed, "the token of a password reset was not delivered: {why}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::SystemTime;

    use aaw_protocol::Identity;
    use tokio::sync::mpsc;

    use super::*;
    use crate::auth::limits::AttemptLimiter;
    use crate::auth::{RateLimit, StoreFuture};
    use crate::client_turns::client;

    /// Stores a reset for each permit.
    struct Gated(Arc<Semaphore>);

    impl Store for Gated {
        fn request_reset(&self, email: Email, _: TokenHash, _: SystemTime) -> StoreFuture<'_, Option<Identity>> {
            Box::pin(async move {
                self.0.acquire().await.expect("it is not closed").forget();
                Ok(Some(Identity::new("1", email.as_str())))
            })
        }
    }

    fn request(host: u8, email: &str, delivered: &mpsc::UnboundedSender<String>) -> ResetRequest {
        let delivered = delivered.clone();
        let hook: ResetHook = Arc::new(move |reset| {
            let _ = delivered.send(reset.user.email);
            Box::pin(async { Ok(()) })
        });
        let client = client(Some(IpAddr::from([127, 0, 0, host])));
        ResetRequest { email: Email::parse(email).unwrap(), hook, client, counted: Vec::new() }
    }

    #[tokio::test]
    async fn a_request_is_accepted_before_it_is_stored_and_clients_take_turns() {
        let gate = Arc::new(Semaphore::new(0));
        let requests = ResetRequests::start(Arc::new(Gated(Arc::clone(&gate))), Duration::from_secs(60));
        let (sender, mut delivered) = mpsc::unbounded_channel();
        for n in 0..3 {
            requests.add(request(2, &format!("{n}@example.com"), &sender)).unwrap();
        }
        requests.add(request(3, "ada@example.com", &sender)).unwrap();
        assert!(delivered.try_recv().is_err());
        // What is accepted is handled although the server stops.
        drop(requests);
        gate.add_permits(4);
        let mut order = Vec::new();
        for _ in 0..4 {
            order.push(delivered.recv().await.unwrap());
        }
        assert_eq!(order, ["0@example.com", "ada@example.com", "1@example.com", "2@example.com"]);
    }

    #[tokio::test]
    async fn the_number_of_waiting_requests_is_bounded_for_each_client() {
        let requests = ResetRequests::start(Arc::new(Gated(Arc::new(Semaphore::new(0)))), Duration::from_secs(60));
        let (sender, _delivered) = mpsc::unbounded_channel();
        for _ in 0..MAX_WAITING_OF_CLIENT {
            requests.add(request(2, "ada@example.com", &sender)).unwrap();
        }
        let refused = requests.add(request(2, "ada@example.com", &sender));
        assert!(matches!(refused, Err(StoreError::BusyFor(FULL_QUEUE_TIME))), "{refused:?}");
        requests.add(request(3, "ada@example.com", &sender)).unwrap();
    }

    #[tokio::test]
    async fn a_full_queue_drops_the_latest_request_of_the_client_with_most_and_refunds_it() {
        let gate = Arc::new(Semaphore::new(0));
        let requests = ResetRequests::start(Arc::new(Gated(Arc::clone(&gate))), Duration::from_secs(60));
        let (sender, mut delivered) = mpsc::unbounded_channel();
        let limit = AttemptLimiter::new(RateLimit::new(1, Duration::from_secs(1000)));
        let counted = async |host, key: &str| {
            let counted = vec![limit.count(key).await.expect("a place")];
            ResetRequest { counted, ..request(host, &format!("{key}@example.com"), &sender) }
        };
        // The task has not run yet. The first clients have one request less each than the last one.
        for host in 0..65 {
            for n in 0..MAX_WAITING_OF_CLIENT - 1 {
                requests.add(request(host, &format!("{host}-{n}@example.com"), &sender)).unwrap();
            }
        }
        assert_eq!(requests.0.lock().waiting.len(), MAX_WAITING - 1);
        requests.add(counted(0, "latest").await).unwrap();
        assert!(limit.count("latest").await.is_err());
        // One that has as many is refused, and counts nowhere.
        for _ in 0..2 {
            let refused = requests.add(counted(1, "refused").await);
            assert!(matches!(refused, Err(StoreError::BusyFor(FULL_QUEUE_TIME))), "{refused:?}");
        }
        requests.add(counted(200, "ada").await).unwrap();
        assert!(limit.count("latest").await.is_ok(), "it was refunded");
        assert!(limit.count("ada").await.is_err());
        drop(requests);
        gate.add_permits(MAX_WAITING);
        let mut all = Vec::new();
        for _ in 0..MAX_WAITING {
            all.push(delivered.recv().await.unwrap());
        }
        assert!(
            all.iter().any(|email| email == "ada@example.com")
                && !all.iter().any(|email| email == "latest@example.com")
        );
    }

    #[tokio::test]
    async fn a_store_that_does_not_support_resets_is_noticed() {
        struct NoStore;
        impl Store for NoStore {}
        let requests = ResetRequests::start(Arc::new(NoStore), Duration::from_secs(60));
        let (sender, _delivered) = mpsc::unbounded_channel();
        requests.add(request(2, "ada@example.com", &sender)).unwrap();
        while !matches!(requests.add(request(2, "ada@example.com", &sender)), Err(StoreError::NotOffered)) {
            tokio::task::yield_now().await;
        }
    }
}
