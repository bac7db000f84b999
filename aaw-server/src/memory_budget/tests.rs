use std::sync::atomic::AtomicBool;
use std::task::Wake;

use super::*;

#[derive(Default)]
struct Flag(AtomicBool);

impl Flag {
    fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn admit(call: &mut CallBudget) -> (Admission, Arc<Flag>) {
    let flag = Arc::<Flag>::default();
    let waker = Waker::from(Arc::clone(&flag));
    (call.admit(true, &mut Context::from_waker(&waker)), flag)
}

fn call(budget: &Arc<ConnectionBudget>, number: u64, bytes: usize) -> CallBudget {
    let mut call = CallBudget::new(budget, number);
    call.set(bytes);
    call
}

fn process(connection: usize, address: usize, total: usize) -> Arc<ProcessBudget> {
    ProcessBudget::new(HeldLimits { connection, address, total })
}

fn from(process: &Arc<ProcessBudget>, address: &str) -> Arc<ConnectionBudget> {
    process.connection(Some(address.parse().unwrap()))
}

fn held(budget: &Arc<ConnectionBudget>, steps: usize) -> HeldBytes {
    let mut held = HeldBytes::new(budget);
    held.set(steps * STEP);
    held
}

fn listed_and_addresses(process: &ProcessBudget) -> (usize, usize) {
    (lock(&process.holders).len(), lock(&process.addresses).len())
}

const UNLIMITED: usize = usize::MAX;

#[test]
fn at_the_limit_one_call_continues_and_the_others_wait_for_it() {
    let process = process(100, UNLIMITED, UNLIMITED);
    let budget = process.connection(None);
    let (mut a, mut b) = (call(&budget, 1, 60), call(&budget, 2, 30));
    assert_eq!((admit(&mut a).0, admit(&mut b).0), (Admission::Run, Admission::Run));
    b.set(50);
    assert_eq!(admit(&mut b).0, Admission::Run, "the first that asks is exempt");
    let (admission, woken) = admit(&mut a);
    assert_eq!(admission, Admission::Wait);
    b.set(2 * STEP);
    assert_eq!((admit(&mut b).0, process.used()), (Admission::Run, 2 * STEP));
    drop(b);
    assert!(woken.is_set());
    assert_eq!((admit(&mut a).0, process.used()), (Admission::Run, 0));
    a.set(0);
    drop(a);
    assert_eq!(process.used(), 0);
}

#[test]
fn beyond_the_limit_no_call_continues_while_the_client_does_not_read() {
    let budget = process(100, UNLIMITED, UNLIMITED).connection(None);
    let mut exempt = call(&budget, 1, 150);
    assert_eq!(admit(&mut exempt).0, Admission::Run);
    budget.set_slow_client(true);
    let (admission, woken) = admit(&mut exempt);
    assert_eq!((admission, woken.is_set()), (Admission::Wait, false));
    budget.set_slow_client(false);
    assert_eq!((admit(&mut exempt).0, woken.is_set()), (Admission::Run, true));
}

#[test]
fn what_is_freed_wakes_those_that_wait() {
    let budget = process(100, UNLIMITED, UNLIMITED).connection(None);
    let mut log = HeldBytes::new(&budget);
    log.set(150);
    let (mut exempt, mut waits) = (call(&budget, 1, 0), call(&budget, 2, 0));
    assert_eq!(admit(&mut exempt).0, Admission::Run);
    let (admission, woken) = admit(&mut waits);
    assert_eq!(admission, Admission::Wait);
    log.set(120);
    assert!(!woken.is_set(), "the limit is still reached");
    log.set(99);
    assert!(woken.is_set());
    assert_eq!(admit(&mut waits).0, Admission::Run);
}

#[test]
fn calls_that_are_not_numbered_by_their_connection_wait_side_by_side() {
    let process = process(100, UNLIMITED, UNLIMITED);
    let budget = process.connection(None);
    let response = call(&budget, u64::MAX, 100);
    assert!(budget.is_exempt(u64::MAX));
    let mut calls = [(); 3].map(|()| CallBudget::numbered(&budget));
    let [a, b, c] = calls.each_mut().map(|call| {
        let (admission, flag) = admit(call);
        assert_eq!(admission, Admission::Wait);
        flag
    });
    // The end of one must not remove another.
    let [first, ..] = calls;
    drop(first);
    drop(response);
    assert!(!a.is_set() && b.is_set() && c.is_set());
}

#[test]
fn a_call_that_has_ended_is_not_kept_among_those_that_wait() {
    let budget = process(100, UNLIMITED, UNLIMITED).connection(None);
    let flag = Arc::<Flag>::default();
    let waker = Waker::from(Arc::clone(&flag));
    let mut exempt = call(&budget, 1, 150);
    assert_eq!(admit(&mut exempt).0, Admission::Run);
    for number in 2..10 {
        let mut waits = call(&budget, number, 0);
        assert_eq!(waits.admit(true, &mut Context::from_waker(&waker)), Admission::Wait);
        let mut pending = call(&budget, number + 100, 0);
        pending.set_pending(STEP, &mut Context::from_waker(&waker));
        assert_eq!(lock(&budget.waiters).as_ref().map_or(0, |waiters| waiters.len()), 2);
    }
    assert_eq!((lock(&budget.waiters).as_ref().map_or(0, |waiters| waiters.len()), Arc::strong_count(&flag)), (0, 2));
}

#[test]
fn what_only_handlers_can_free_counts_for_the_address_and_stops_no_handler() {
    let process = process(STEP, 64 * STEP, UNLIMITED);
    let budget = from(&process, "10.0.0.1");
    let mut connection = ConnectionHeld::new(&budget);
    connection.set(0, 8 * STEP + 1);
    assert_eq!((process.used(), budget.is_used_up()), (8 * STEP, false));
    assert_eq!(admit(&mut call(&budget, 1, 0)).0, Admission::Run);
    connection.set(STEP, STEP - 1);
    assert_eq!((process.used(), budget.is_used_up()), (STEP, true), "less than a step counts as nothing");
    connection.set(0, 0);
    let http = from(&process, "10.0.0.1");
    let body = HeldByHandler::new(&http, 3 * STEP);
    let small = [STEP / 4; 8].map(|bytes| HeldByHandler::new(&http, bytes));
    assert_eq!((process.used(), http.is_used_up()), (5 * STEP, false), "small ones add up");
    drop((body, small));
    assert_eq!(process.used(), 0);
    connection.set(STEP, 2 * STEP);
    let limited = connection.take_limited();
    drop(connection);
    assert_eq!(process.used(), STEP);
    drop(limited);
    assert_eq!(process.used(), 0);
}

#[test]
fn a_connection_alone_is_refused_only_for_uploads_that_reach_the_limit() {
    let process = process(UNLIMITED, 64 * STEP, UNLIMITED);
    let budget = from(&process, "10.0.0.1");
    let mut connection = ConnectionHeld::new(&budget);
    connection.set(80 * STEP, 0);
    assert!(!budget.is_refused());
    connection.set(0, 0);
    connection.set(0, 80 * STEP);
    assert!(budget.is_refused());
    connection.set(0, 0);
    assert!(!budget.is_refused(), "until it holds nothing");
}

#[test]
fn at_the_limit_of_an_address_its_greediest_connections_are_refused_and_no_others() {
    let process = process(UNLIMITED, 64 * STEP, UNLIMITED);
    let (large, small) = (from(&process, "192.0.2.1"), from(&process, "192.0.2.1"));
    let (other, unknown) = (from(&process, "192.0.2.2"), process.connection(None));
    let _others = [held(&other, 63), held(&unknown, 1000)];
    let (mut large_call, mut small_call) = (call(&large, 1, 40 * STEP), call(&small, 1, 20 * STEP));
    let waits = Arc::<Flag>::default();
    large.wake_if_refused(STEP, &Waker::from(Arc::clone(&waits)));
    small_call.set(23 * STEP);
    assert_eq!((admit(&mut large_call).0, waits.is_set()), (Admission::Run, false));
    small_call.set(24 * STEP);
    assert_eq!((admit(&mut large_call).0, waits.is_set()), (Admission::Refuse, true));
    assert_eq!(admit(&mut small_call).0, Admission::Run);
    assert_eq!([&other, &unknown].map(|budget| budget.is_refused()), [false, false]);
    // Until it holds less than a step: what it holds then may be anything.
    large_call.set(STEP);
    assert!(large.is_refused());
    large_call.set(STEP - 1);
    assert_eq!(admit(&mut large_call).0, Admission::Run);
}

#[test]
fn at_the_limit_of_the_process_its_greediest_connections_are_refused_of_all_addresses() {
    let process = process(UNLIMITED, UNLIMITED, 160 * STEP);
    let budgets: Vec<_> = (1..=5).map(|n| from(&process, &format!("192.0.2.{n}"))).collect();
    let refused = || budgets.iter().map(|budget| budget.is_refused()).collect::<Vec<_>>();
    let mut all: Vec<_> = [30, 9, 50, 70].iter().zip(&budgets).map(|(steps, budget)| held(budget, *steps)).collect();
    assert_eq!(refused(), [false; 5]);
    // A sixteenth of the limit becomes free, which the largest suffices for.
    all.push(held(&budgets[4], 1));
    assert_eq!(refused(), [false, false, false, true, false]);
    // As much as the largest has not freed yet does not count.
    all[1].set(10 * STEP);
    all[4].set(10 * STEP);
    assert_eq!(refused(), [false, false, false, true, false]);
    // But what the others hold does, when they hold as much as the limit.
    all[4].set(75 * STEP);
    assert_eq!(refused(), [false, false, false, true, true]);
    all.remove(3);
    assert_eq!(refused(), [false, false, false, false, true]);
    all.clear();
    assert_eq!((refused(), process.used()), (vec![false; 5], 0));
}

#[test]
fn an_address_or_a_process_that_holds_its_limit_is_full() {
    let process = process(UNLIMITED, 2 * STEP, 3 * STEP);
    let [a, b, other] = ["10.0.0.1", "10.0.0.1", "10.0.0.2"].map(|address| from(&process, address));
    let held_by_a = held(&a, 1);
    assert!(!b.is_group_full());
    let held_by_b = held(&b, 1);
    assert_eq!((a.is_group_full(), b.is_group_full(), other.is_group_full()), (true, true, false));
    let _held_by_other = held(&other, 1);
    assert!(other.is_group_full(), "by its process");
    drop((held_by_a, held_by_b));
    assert!(!a.is_group_full() && !other.is_group_full());
}

#[test]
fn what_only_handlers_can_free_stays_counted_when_the_rest_is_taken() {
    let process = process(UNLIMITED, UNLIMITED, UNLIMITED);
    let mut held = ConnectionHeld::new(&process.connection(None));
    held.set(2 * STEP, 3 * STEP);
    drop(held.take_limited());
    assert_eq!(process.used(), 3 * STEP);
    drop(held);
    assert_eq!(process.used(), 0);
}

#[test]
fn the_last_connection_that_holds_something_is_not_refused() {
    let process = process(UNLIMITED, 2 * STEP, STEP);
    let (only, idle) = (from(&process, "2001:db8::1"), from(&process, "2001:db8::2"));
    let mut large = held(&only, 1000);
    assert!(!only.is_refused());
    // The one that holds less continues.
    let _small = held(&idle, 1);
    large.set(1001 * STEP);
    assert_eq!((only.is_refused(), idle.is_refused()), (true, false));
}

#[test]
fn the_tables_keep_nothing_of_connections_that_have_left() {
    let process = process(100, 100, 100);
    let mut budgets: Vec<_> = (0..200).map(|n| from(&process, &format!("192.0.2.{}", n / 2))).collect();
    assert_eq!(listed_and_addresses(&process), (0, 100), "those that hold nothing are not searched");
    let all: Vec<_> = budgets.iter().map(|budget| held(budget, 1)).collect();
    assert_eq!(listed_and_addresses(&process), (200, 100));
    drop(all);
    budgets.truncate(3);
    assert_eq!(listed_and_addresses(&process), (3, 2));
    drop(budgets);
    assert_eq!(listed_and_addresses(&process), (0, 0));
    assert!(lock(&process.addresses).capacity() < 8);
    assert_eq!(Arc::strong_count(&process), 1);
}

#[test]
fn connections_that_have_sent_what_they_held_are_removed_from_the_search() {
    let process = process(UNLIMITED, UNLIMITED, UNLIMITED);
    let budgets: Vec<_> = (0..1000).map(|_| from(&process, "192.0.2.1")).collect();
    for budget in &budgets {
        drop(held(budget, 100));
    }
    assert!(listed_and_addresses(&process).0 < 40);
    // They are found again.
    let _all: Vec<_> = budgets.iter().map(|budget| held(budget, 1)).collect();
    assert_eq!(listed_and_addresses(&process), (1000, 1));
}

#[test]
fn what_several_threads_hold_adds_up() {
    let process = process(UNLIMITED, 300 * STEP, 300 * STEP);
    let budgets: Vec<_> = (0..4).map(|_| from(&process, "192.0.2.1")).collect();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let budgets = &budgets;
            scope.spawn(move || {
                for n in 0..20_000 {
                    let mut held = HeldBytes::new(&budgets[(n + thread) % 4]);
                    held.set((n % 50) * STEP / 7);
                    held.set((n % 33) * STEP);
                }
            });
        }
    });
    assert_eq!(process.used(), 0);
    assert_eq!(budgets.iter().filter(|budget| budget.is_refused()).count(), 0);
    drop(budgets);
    assert_eq!(listed_and_addresses(&process), (0, 0));
}

#[test]
fn a_connection_takes_the_memory_that_the_documentation_says() {
    assert_eq!((size_of::<ConnectionBudget>(), size_of::<AddressBudget>()), (56, 48));
}

#[test]
fn each_waiting_call_is_woken_when_memory_is_free() {
    let process = process(100, UNLIMITED, UNLIMITED);
    let budget = process.connection(None);
    let full = call(&budget, 1, 100);
    let (mut a, mut b) = (CallBudget::new(&budget, 2), CallBudget::new(&budget, 3));
    let wait = |call: &mut CallBudget| {
        let flag = Arc::<Flag>::default();
        let waker = Waker::from(Arc::clone(&flag));
        assert_eq!(call.admit(false, &mut Context::from_waker(&waker)), Admission::Wait);
        flag
    };
    let flags = [wait(&mut a), wait(&mut b)];
    drop(full);
    assert!(flags.iter().all(|flag| flag.is_set()));
}

#[test]
fn a_site_has_a_limit_of_its_own_at_which_its_greediest_connection_is_refused() {
    let process = process(UNLIMITED, 10 * STEP, 1000 * STEP);
    let network = |number: u32| from(&process, &format!("2001:db8:1:{number:x}::1"));
    let other = from(&process, "2001:db8:2:1::1");
    let of_other = held(&other, 9);
    // Sixteen times as much as one address.
    let budgets: Vec<_> = (0..18).map(network).collect();
    let mut all: Vec<_> = budgets[..17].iter().map(|budget| held(budget, 9)).collect();
    assert!(!budgets.iter().any(|budget| budget.is_refused()));
    all.push(held(&budgets[17], 8));
    let refused = budgets.iter().filter(|budget| budget.is_refused()).count();
    assert_eq!(refused, 2, "a sixteenth is freed");
    assert!(!other.is_refused());
    drop((all, of_other));
    assert!(!budgets.iter().any(|budget| budget.is_refused()));
    drop((budgets, other));
    assert_eq!((process.used(), listed_and_addresses(&process)), (0, (0, 0)));
}

#[test]
fn a_site_holds_at_most_half_of_all() {
    let process = process(UNLIMITED, 64 * STEP, 512 * STEP);
    let budgets: Vec<_> = (0..8).map(|number| from(&process, &format!("2001:db8:1:{number}::1"))).collect();
    let all: Vec<_> = budgets.iter().map(|budget| held(budget, 60)).collect();
    let kept: usize = budgets.iter().filter(|budget| !budget.is_refused()).count();
    assert_eq!(kept, 4);
    drop(all);
}
