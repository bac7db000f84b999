//! What the clients of one connection make the server hold. A connection from a proxy carries requests of many clients, each of
//! which has a limit of its own.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use crate::client_network::ClientNetwork;
use crate::hub::Hub;
use crate::memory_budget::ConnectionBudget;

/// A response that can be ended while the connection goes on.
pub(super) trait EndBody: Send + Sync {
    /// Frees what its body holds. Its request fails.
    #[cfg_attr(not(all(feature = "tls", feature = "http")), expect(dead_code, reason = "there is no HTTP/2"))]
    fn end(&self);
}

/// The budgets of the clients that have requests in progress on a connection.
#[derive(Default)]
pub(super) struct ClientBudgets(Mutex<Vec<ClientBudget>>);

struct ClientBudget {
    client: Option<ClientNetwork>,
    memory: Weak<ConnectionBudget>,
    /// See [`ConnectionBudget::poll_refused`].
    has_had_turn: bool,
    /// The responses that can be ended alone: those over HTTP/2.
    #[cfg_attr(not(all(feature = "tls", feature = "http")), expect(dead_code, reason = "there is no HTTP/2"))]
    bodies: Vec<Weak<dyn EndBody>>,
    /// They were ended since the client is refused.
    has_ended: bool,
    /// The client is refused, and has had its turn.
    is_refused: bool,
}

impl ClientBudgets {
    /// Returns the budget of a client. It exists as long as one of its requests has it.
    pub(super) fn of(&self, address: Option<IpAddr>, hub: &Hub) -> Arc<ConnectionBudget> {
        let client = address.map(ClientNetwork::from);
        let mut budgets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        budgets.retain(|budget| budget.memory.strong_count() > 0);
        let of_client = budgets.iter().filter(|budget| budget.client == client);
        if let Some(memory) = of_client.filter_map(|budget| budget.memory.upgrade()).next() {
            return memory;
        }
        let memory = hub.memory_budget(address);
        let budget = ClientBudget {
            client,
            memory: Arc::downgrade(&memory),
            has_had_turn: false,
            bodies: Vec::new(),
            has_ended: false,
            is_refused: false,
        };
        budgets.push(budget);
        memory
    }

    /// Adds a response of the client that this is the budget of. It is ended at once if the client is refused, unless it holds
    /// little, such as the reason of that.
    #[cfg(all(feature = "tls", feature = "http"))]
    pub(super) fn add_body(&self, memory: &Arc<ConnectionBudget>, body: &Arc<dyn EndBody>, holds_little: bool) {
        let mut budgets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = budgets.iter_mut().find(|budget| std::ptr::eq(budget.memory.as_ptr(), Arc::as_ptr(memory)));
        let Some(budget) = of else { return };
        // As many stay as the connection may have requests.
        budget.bodies.retain(|body| body.strong_count() > 0);
        budget.bodies.push(Arc::downgrade(body));
        let is_late = budget.has_ended && memory.is_refused();
        drop(budgets);
        if is_late && !holds_little {
            body.end();
        }
    }

    /// Completes when the connection is to be closed because of the memory that one of its clients holds.
    pub(super) fn poll_refused(&self, cx: &mut Context<'_>) -> Poll<()> {
        let (refused, _, _kept) = self.poll_each(cx);
        if refused > 0 { Poll::Ready(()) } else { Poll::Pending }
    }

    /// As [`poll_refused`](Self::poll_refused), of a connection whose responses can be ended alone: if another client has requests
    /// on it, it goes on, and those of the client that is refused are ended. What hyper has of them stays until the client reads
    /// it, or until no other client is left.
    #[cfg(all(feature = "tls", feature = "http"))]
    pub(super) fn poll_all_refused(&self, cx: &mut Context<'_>) -> Poll<()> {
        let (refused, others, kept) = self.poll_each(cx);
        if refused == 0 {
            return Poll::Pending;
        }
        if others == 0 {
            return Poll::Ready(());
        }
        let mut ended = Vec::new();
        let mut budgets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for budget in budgets.iter_mut().filter(|budget| budget.is_refused && !budget.has_ended) {
            budget.has_ended = true;
            ended.append(&mut budget.bodies);
        }
        drop(budgets);
        ended.iter().filter_map(Weak::upgrade).for_each(|body| body.end());
        drop(kept);
        Poll::Pending
    }

    /// Returns how many clients are refused and how many are not, and their budgets, to be dropped without the lock.
    fn poll_each(&self, cx: &mut Context<'_>) -> (usize, usize, Vec<Arc<ConnectionBudget>>) {
        let (mut refused, mut others, mut kept) = (0, 0, Vec::new());
        let mut budgets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for budget in &mut *budgets {
            let Some(memory) = budget.memory.upgrade() else {
                budget.is_refused = false;
                continue;
            };
            budget.has_ended &= memory.is_refused();
            if budget.has_ended {
                // That it is refused is known; what matters is when it is not any more.
                memory.wake_on_change(cx.waker());
                budget.has_ended = memory.is_refused();
                budget.is_refused = budget.has_ended;
            } else {
                budget.is_refused = memory.poll_refused(&mut budget.has_had_turn, cx).is_ready();
            }
            if budget.is_refused {
                refused += 1;
            } else {
                others += 1;
            }
            kept.push(memory);
        }
        drop(budgets);
        (refused, others, kept)
    }
}
