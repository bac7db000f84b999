//! A bounded queue that is fair between clients and has two classes.

use std::collections::VecDeque;

use crate::client_turns::{Client, Turns};

/// After so many urgent jobs in a row a waiting job of the other class has its turn, so that it is served at all.
const MAX_URGENT_IN_A_ROW: u32 = 8;

/// The order of a job among those of other clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Comes first.
    Urgent,
    Normal,
}

/// Jobs that wait. Those of [`Class::Urgent`] come first. In a class the clients take turns, so that a client waits for
/// one job of each other client and not for all of them; the jobs of one client are served in order.
///
/// A full queue makes place by dropping the latest job of the client with the most normal jobs, or with the most urgent ones
/// if there are no others. So one client cannot fill the queue for the others.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    capacity: usize,
    urgent: Turns<VecDeque<T>>,
    normal: Turns<VecDeque<T>>,
    /// Of both classes.
    len: usize,
    urgent_in_a_row: u32,
}

impl<T> FairQueue<T> {
    /// Creates a queue for this many jobs, at least one.
    pub(super) fn new(capacity: usize) -> Self {
        let (urgent, normal) = (Turns::default(), Turns::default());
        Self { capacity: capacity.max(1), urgent, normal, len: 0, urgent_in_a_row: 0 }
    }

    /// Adds a job. Returns the job of another client whose place it has taken, if the queue was full.
    ///
    /// # Errors
    /// The job, if there is no place for it.
    pub(super) fn push(&mut self, class: Class, client: Client, job: T) -> Result<Option<T>, T> {
        let mut displaced = None;
        if self.len >= self.capacity {
            let from = if self.normal.is_empty() { Class::Urgent } else { Class::Normal };
            let turns = self.turns(from);
            let Some(greediest) = turns.greediest() else { return Err(job) };
            let may_displace = match class {
                _ if class == from => turns.len_of(client) + 1 < turns.len_of(greediest),
                Class::Urgent => true,
                Class::Normal => false,
            };
            if !may_displace {
                return Err(job);
            }
            displaced = turns.drop_latest(greediest);
            self.len -= usize::from(displaced.is_some());
        }
        self.turns(class).push(client, |jobs| jobs.push_back(job));
        self.len += 1;
        Ok(displaced)
    }

    /// Removes the next job.
    pub(super) fn pop(&mut self) -> Option<T> {
        let is_urgent =
            !self.urgent.is_empty() && (self.normal.is_empty() || self.urgent_in_a_row < MAX_URGENT_IN_A_ROW);
        let job = if is_urgent {
            self.urgent_in_a_row = self.urgent_in_a_row.saturating_add(1);
            self.urgent.take(VecDeque::pop_front)
        } else {
            self.urgent_in_a_row = 0;
            self.normal.take(VecDeque::pop_front)
        };
        self.len -= usize::from(job.is_some());
        job
    }

    #[cfg(any(feature = "auth-sqlite", test))]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The number of jobs of a client in a class.
    pub(super) fn len_of(&self, class: Class, client: Client) -> usize {
        match class {
            Class::Urgent => self.urgent.len_of(client),
            Class::Normal => self.normal.len_of(client),
        }
    }

    fn turns(&mut self, class: Class) -> &mut Turns<VecDeque<T>> {
        match class {
            Class::Urgent => &mut self.urgent,
            Class::Normal => &mut self.normal,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::client_turns;

    fn client(n: u32) -> Client {
        client_turns::client(Some(Ipv4Addr::from_bits(n).into()))
    }

    fn all<T>(queue: &mut FairQueue<T>) -> Vec<T> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn urgent_jobs_come_first_and_clients_take_turns() {
        let mut queue = FairQueue::new(1000);
        for n in 0..200 {
            queue.push(Class::Normal, client(1), format!("1 registers {n}")).unwrap();
        }
        queue.push(Class::Normal, client(2), "2 registers".to_owned()).unwrap();
        for n in 0..3 {
            queue.push(Class::Urgent, client(1), format!("1 logs in {n}")).unwrap();
        }
        queue.push(Class::Urgent, client(3), "3 logs in".to_owned()).unwrap();
        let order = all(&mut queue);
        assert_eq!(
            order[..8],
            [
                "1 logs in 0",
                "3 logs in",
                "1 logs in 1",
                "1 logs in 2",
                "1 registers 0",
                "2 registers",
                "1 registers 1",
                "1 registers 2"
            ]
        );
        assert_eq!(order.len(), 205);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn urgent_jobs_do_not_starve_the_others() {
        let mut queue = FairQueue::new(1000);
        for _ in 0..20 {
            queue.push(Class::Urgent, client(1), "urgent").unwrap();
        }
        queue.push(Class::Normal, client(2), "normal").unwrap();
        assert_eq!(all(&mut queue).iter().position(|job| *job == "normal"), Some(8));
    }

    #[test]
    fn a_full_queue_drops_the_latest_job_of_the_client_with_most() {
        let mut queue = FairQueue::new(4);
        for n in 0..4 {
            assert_eq!(queue.push(Class::Normal, client(1), n), Ok(None));
        }
        // The greediest itself is refused.
        assert_eq!(queue.push(Class::Normal, client(1), 4), Err(4));
        // Another client takes a place, until it has as many.
        assert_eq!(queue.push(Class::Normal, client(2), 10), Ok(Some(3)));
        assert_eq!(queue.push(Class::Normal, client(2), 11), Ok(Some(2)));
        assert_eq!(queue.push(Class::Normal, client(2), 12), Err(12));
        // So does a log-in, and a further registration takes no place of a log-in.
        assert!(queue.push(Class::Urgent, client(1), 20).unwrap().is_some_and(|job| job == 1 || job == 11));
        for n in 21..24 {
            assert!(queue.push(Class::Urgent, client(1), n).unwrap().is_some_and(|job| job < 20));
        }
        assert_eq!(queue.push(Class::Normal, client(3), 30), Err(30));
        assert_eq!(queue.push(Class::Urgent, client(1), 24), Err(24));
        assert_eq!(queue.push(Class::Urgent, client(3), 40), Ok(Some(23)));
        assert_eq!(queue.push(Class::Urgent, client(3), 41), Ok(Some(22)));
        assert_eq!(queue.push(Class::Urgent, client(3), 42), Err(42), "it has as many as the other");
        assert_eq!(queue.len(), 4);
        assert_eq!(all(&mut queue), [20, 40, 21, 41]);
    }

    #[test]
    fn the_networks_of_an_ipv6_site_are_one_client() {
        let address = |network: u16| Some(format!("2001:db8:1:{network:x}::1").parse().unwrap());
        assert_eq!(client_turns::client(address(1)), client_turns::client(address(0xffff)));
        assert_ne!(client_turns::client(address(1)), client_turns::client(Some("2001:db8:2::1".parse().unwrap())));
        let mut queue = FairQueue::new(100);
        for n in 0..99 {
            queue.push(Class::Urgent, client_turns::client(address(n)), "site").unwrap();
        }
        queue.push(Class::Urgent, client(1), "other").unwrap();
        assert_eq!((queue.pop(), queue.pop()), (Some("site"), Some("other")));
    }
}
