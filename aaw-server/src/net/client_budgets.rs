//! What the clients of one connection make the server hold. A connection from a proxy carries requests of many clients, each of
//! which has a limit of its own.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use crate::client_network::ClientNetwork;
use crate::hub::Hub;
use crate::memory_budget::ConnectionBudget;

/// The budgets of the clients that have requests in progress on a connection.
#[derive(Debug, Default)]
pub(super) struct ClientBudgets(Mutex<Vec<ClientBudget>>);

#[derive(Debug)]
struct ClientBudget {
    client: Option<ClientNetwork>,
    memory: Weak<ConnectionBudget>,
    /// See [`ConnectionBudget::poll_refused`].
    has_had_turn: bool,
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
        budgets.push(ClientBudget { client, memory: Arc::downgrade(&memory), has_had_turn: false });
        memory
    }

    /// Completes when the connection is to be closed because of the memory that one of them holds.
    pub(super) fn poll_refused(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut kept = Vec::new();
        let mut budgets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut refused = Poll::Pending;
        for budget in &mut *budgets {
            let Some(memory) = budget.memory.upgrade() else { continue };
            if memory.poll_refused(&mut budget.has_had_turn, cx).is_ready() {
                refused = Poll::Ready(());
            }
            // Dropped without the lock.
            kept.push(memory);
        }
        drop(budgets);
        refused
    }
}
