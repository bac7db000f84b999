//! The shop: its products, and how often each has been ordered. Shared by all clients.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aaw_event::prelude::*;
use tokio::sync::{broadcast, watch};
use tokio::task::AbortHandle;

/// The number of changes that a slow client can miss before it receives all totals again.
const CHANGES: usize = 64;

/// The maximum number of products: any client can add one.
const MAX_PRODUCTS: usize = 500;

/// The initial products: category, and name.
const PRODUCTS: [(&str, &str); 9] = [
    ("electronics", "Vacuum cleaner"),
    ("electronics", "Leaf blower"),
    ("electronics", "Radio alarm clock"),
    ("confectionery", "Chocolate bar"),
    ("confectionery", "Liquorice"),
    ("confectionery", "Salted caramels"),
    ("stationery", "Fountain pen"),
    ("stationery", "Squared paper"),
    ("stationery", "Bookmark"),
];

/// A product, and how often it has been ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub id: String,
    pub category: String,
    pub name: String,
    pub total: u64,
}

/// What handlers receive as `services`.
pub struct Shop {
    orders: Arc<Orders>,
    watching: watch::Sender<usize>,
    /// The task that places orders. Absent in tests, which place their own.
    customers: Option<AbortHandle>,
}

struct Orders {
    all: Mutex<Vec<Order>>,
    changes: broadcast::Sender<Order>,
}

/// Opens the shop, with an order every 1.5 s, or every `ORDERS_EVERY_MS` milliseconds.
pub async fn services() -> Result<Shop> {
    let every = match std::env::var("ORDERS_EVERY_MS") {
        Ok(every) => Duration::from_millis(every.parse::<u64>()?.max(1)),
        Err(_) => Duration::from_millis(1500),
    };
    let mut shop = Shop::default();
    let orders = Arc::clone(&shop.orders);
    let customers = tokio::spawn(async move {
        loop {
            tokio::time::sleep(every).await;
            orders.order_at_random();
        }
    });
    shop.customers = Some(customers.abort_handle());
    Ok(shop)
}

/// A shop without customers.
impl Default for Shop {
    fn default() -> Self {
        let all = PRODUCTS.iter().enumerate().map(|(number, (category, name))| product(number, category, name));
        let orders = Orders { all: Mutex::new(all.collect()), changes: broadcast::Sender::new(CHANGES) };
        Self { orders: Arc::new(orders), watching: watch::Sender::new(0), customers: None }
    }
}

impl Shop {
    /// Returns the current totals of a category, and a receiver of all later changes, in any category. No change is
    /// lost between the two. An unknown category has no totals.
    pub fn follow(&self, category: &str) -> (Vec<Order>, broadcast::Receiver<Order>) {
        // Under the lock, because changes are published under it.
        let all = self.orders.lock();
        let changes = self.orders.changes.subscribe();
        (totals_of(&all, category), changes)
    }

    /// Returns the categories, in the order in which they were added.
    pub fn categories(&self) -> Vec<String> {
        let mut categories: Vec<String> = Vec::new();
        for order in self.orders.lock().iter() {
            if !categories.contains(&order.category) {
                categories.push(order.category.clone());
            }
        }
        categories
    }

    /// Adds a product with a total of 0, and publishes it.
    pub fn add(&self, category: &str, name: &str) -> Result<Order> {
        let mut all = self.orders.lock();
        if !all.iter().any(|order| order.category == category) {
            return Err(Error::new("No such category"));
        }
        if all.len() == MAX_PRODUCTS {
            return Err(Error::new("The shop is full"));
        }
        let order = product(all.len(), category, name);
        all.push(order.clone());
        self.orders.publish(&order);
        Ok(order)
    }

    /// Places an order.
    pub fn order(&self, id: &str, pieces: u64) {
        self.orders.change(|all| all.iter_mut().find(|order| order.id == id), pieces);
    }

    /// Counts a stream of totals, until the returned guard is dropped.
    pub fn watch(&self) -> WatchGuard {
        self.watching.send_modify(|watching| *watching += 1);
        WatchGuard(self.watching.clone())
    }

    /// Returns the number of streams of totals, and its changes.
    pub fn watching(&self) -> watch::Receiver<usize> {
        self.watching.subscribe()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        if let Some(customers) = &self.customers {
            customers.abort();
        }
    }
}

impl Orders {
    fn lock(&self) -> MutexGuard<'_, Vec<Order>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, which: impl FnOnce(&mut Vec<Order>) -> Option<&mut Order>, pieces: u64) {
        let mut all = self.lock();
        let Some(order) = which(&mut all) else { return };
        order.total = order.total.saturating_add(pieces);
        let order = order.clone();
        self.publish(&order);
    }

    fn order_at_random(&self) {
        let pieces = fastrand::u64(1..=5);
        self.change(|all| fastrand::choice(all.iter_mut()), pieces);
    }

    fn publish(&self, order: &Order) {
        // Fails if there is no receiver, which is fine.
        let _ = self.changes.send(order.clone());
    }
}

/// Counts a stream until it is dropped.
pub struct WatchGuard(watch::Sender<usize>);

impl Drop for WatchGuard {
    fn drop(&mut self) {
        self.0.send_modify(|watching| *watching -= 1);
    }
}

fn totals_of(all: &[Order], category: &str) -> Vec<Order> {
    all.iter().filter(|order| order.category == category).cloned().collect()
}

/// Returns a product with a catalogue id: the first letter of the category, and a number.
fn product(number: usize, category: &str, name: &str) -> Order {
    let letter = category.chars().next().unwrap_or('x').to_ascii_uppercase();
    Order { id: format!("{letter}{}", number + 1), category: category.to_owned(), name: name.to_owned(), total: 0 }
}
