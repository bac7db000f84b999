//! Tests of the table check.

use std::time::Duration;

use aaw_protocol::EventName;

use super::table::{ModuleTable, check};
use super::{AbiError, HandlerKind};
use crate::abi::{ABI, Bytes, EventEntry, ModuleHeader, kind, mode};
use crate::export::{CLOSE, HandlerEntry, NoServices, OPEN, PackageSymbol, guard, no_services, sync_services};
use crate::prelude::{Empty, Services, Stream, Upload, stream};

async fn handler() {}

async fn takes_upload(_: Empty, _: Services, _: Upload<u8>) {}

fn one_way() {}

fn streaming() -> impl Stream<Item = u8> {
    stream! { yield 1; }
}

static GOOD: PackageSymbol<NoServices> = PackageSymbol::new(
    "good",
    true,
    sync_services(no_services),
    const {
        &[
            HandlerEntry::unary0("users/get", handler),
            HandlerEntry::hook0(CLOSE, one_way),
            HandlerEntry::one_way0("announce", one_way).max_call_time(Duration::from_micros(1_500)).cost(0),
            HandlerEntry::unary3("users/put", takes_upload).cost(10),
            HandlerEntry::async_hook0(OPEN, handler),
            HandlerEntry::async_hook0(guard("users/_guard"), handler),
            HandlerEntry::async_hook0(guard("_guard"), handler),
            HandlerEntry::streaming0("users/all", streaming).max_call_time(Duration::MAX).event_source(true),
            HandlerEntry::streaming0("users/new", streaming).event_source(false),
        ]
    },
);

fn checked(header: *const ModuleHeader) -> Result<ModuleTable, AbiError> {
    // SAFETY: null, or a header that is static or leaked, with at most one fault that the check must find before it
    // reads further.
    unsafe { check(header, mode::LOADED, None) }
}

/// The error for a copy of a good header after `change`.
fn changed(change: impl FnOnce(&mut ModuleHeader)) -> AbiError {
    // SAFETY: a header is plain data; what it points to is static.
    let mut header = unsafe { GOOD.header().read() };
    change(&mut header);
    let header: &'static ModuleHeader = Box::leak(Box::new(header));
    checked(header).err().expect("the header was accepted")
}

fn with_entries(entries: &'static [EventEntry]) -> AbiError {
    changed(|header| (header.events, header.event_count) = (entries.as_ptr(), entries.len()))
}

fn entry(name: &'static str, kind: u32) -> EventEntry {
    // SAFETY: the table of `GOOD` has entries.
    let good = unsafe { (*GOOD.header()).events.read() };
    EventEntry { name: Bytes::of(name), kind, ..good }
}

#[test]
fn a_good_table_is_accepted() {
    let table = checked(GOOD.header()).unwrap();
    let events: Vec<_> =
        table.events.iter().map(|event| (event.name.as_str(), event.kind, event.takes_upload)).collect();
    let expected = [
        ("users/get", HandlerKind::Unary, false),
        ("announce", HandlerKind::OneWay, false),
        ("users/put", HandlerKind::Unary, true),
        ("users/all", HandlerKind::Streaming, false),
        ("users/new", HandlerKind::Streaming, false),
    ];
    assert_eq!(events, expected);
    let hooks = (table.open_hook, table.close_hook);
    assert_eq!(hooks, (Some(5), Some(6)));
    let names: Vec<_> = table.entries.iter().map(|entry| entry.name).collect();
    let expected =
        ["users/get", "announce", "users/put", "users/all", "users/new", "_open", "_close", "_guard", "users/_guard"];
    assert_eq!(names, expected);
    let guards: Vec<_> = table.guards.iter().map(|guard| (guard.folder.as_str(), guard.index)).collect();
    assert_eq!(guards, [("", 7), ("users", 8)]);
    assert_eq!(table.password_reset_hook, None);
    assert_eq!((table.resume_hook, table.away_hook, table.back_hook), (None, None, None));
}

#[test]
fn the_limits_of_events_are_read() {
    let table = checked(GOOD.header()).unwrap();
    let limits: Vec<_> = table.events.iter().map(|event| event.max_call_time).collect();
    assert_eq!(limits, [None, Some(Duration::from_millis(2)), None, Some(Duration::MAX), None]);
}

#[test]
fn a_package_declares_that_it_reads_handshakes() {
    static READING: PackageSymbol<NoServices> =
        PackageSymbol::new("reading", true, sync_services(no_services), &[]).reading_handshakes();
    assert!(checked(READING.header()).unwrap().reads_handshakes);
    assert!(!checked(GOOD.header()).unwrap().reads_handshakes);
}

/// A package that was built before packages had contracts. What follows its header in memory is not read.
#[test]
fn a_package_with_a_header_of_an_older_size_has_no_contract() {
    // SAFETY: a header is plain data; what it points to is static.
    let mut header = unsafe { GOOD.header().read() };
    // SAFETY: never called, as the test shows.
    header.describe = Some(unsafe { std::mem::transmute::<usize, crate::abi::DescribeFn>(usize::MAX) });
    header.size = ModuleHeader::MIN_SIZE as u32;
    assert!(checked(Box::leak(Box::new(header))).unwrap().describe.is_none());
}

#[test]
fn the_costs_of_events_and_those_that_get_may_start_are_read() {
    let table = checked(GOOD.header()).unwrap();
    let read: Vec<_> = table.events.iter().map(|event| (event.cost, event.allows_get)).collect();
    assert_eq!(read, [(1, false), (0, false), (10, false), (1, true), (1, false)]);
    // The flag means nothing for an event that does not stream.
    // SAFETY: a header is plain data; what it points to is static.
    let mut header = unsafe { GOOD.header().read() };
    let entries = vec![EventEntry { flags: 2, ..entry("a", kind::UNARY) }].leak();
    (header.events, header.event_count) = (entries.as_ptr(), entries.len());
    assert!(!checked(Box::leak(Box::new(header))).unwrap().events[0].allows_get);
}

/// The entries of a package that was built before an event could have a limit.
#[test]
fn entries_of_an_older_package_have_no_limit() {
    #[repr(C)]
    struct OlderEntry {
        name: Bytes,
        kind: u32,
        flags: u32,
        call: Option<crate::abi::CallFn>,
    }

    let older = |name| {
        let EventEntry { name, kind, flags, call, .. } = entry(name, kind::UNARY);
        OlderEntry { name, kind, flags, call }
    };
    // SAFETY: a header is plain data; what it points to is static.
    let mut header = unsafe { GOOD.header().read() };
    let entries = vec![older("a"), older("b")].leak();
    (header.events, header.event_count) = (entries.as_ptr().cast(), entries.len());
    header.event_stride = size_of::<OlderEntry>() as u32;
    let table = checked(Box::leak(Box::new(header))).unwrap();
    let events: Vec<_> =
        table.events.iter().map(|event| (event.name.as_str(), event.max_call_time, event.cost)).collect();
    assert_eq!(events, [("a", None, 1), ("b", None, 1)]);
}

/// The entries of a package that was built before an event could have a cost.
#[test]
fn entries_of_an_older_package_run_in_place_and_cost_one() {
    #[repr(C)]
    struct OlderEntry {
        name: Bytes,
        kind: u32,
        flags: u32,
        call: Option<crate::abi::CallFn>,
        max_call_ms: u32,
        run: Option<crate::abi::RunFn>,
    }

    let older = |name| {
        let EventEntry { name, kind, flags, call, run, .. } = entry(name, kind::UNARY);
        OlderEntry { name, kind, flags, call, max_call_ms: 5, run }
    };
    // SAFETY: a header is plain data; what it points to is static.
    let mut header = unsafe { GOOD.header().read() };
    let entries = vec![older("a"), older("b")].leak();
    (header.events, header.event_count) = (entries.as_ptr().cast(), entries.len());
    header.event_stride = size_of::<OlderEntry>() as u32;
    let table = checked(Box::leak(Box::new(header))).unwrap();
    let limit = Some(Duration::from_millis(5));
    let events: Vec<_> =
        table.events.iter().map(|event| (event.name.as_str(), event.max_call_time, event.cost)).collect();
    assert_eq!(events, [("a", limit, 1), ("b", limit, 1)]);
    assert!(table.entries.iter().all(|entry| entry.run.is_some()));
}

/// The entries of a package that was built when what is `reserved` now was padding. It holds anything.
#[test]
fn entries_of_a_package_with_unnamed_padding_keep_their_cost() {
    #[repr(C)]
    struct OlderEntry {
        name: Bytes,
        kind: u32,
        flags: u32,
        call: Option<crate::abi::CallFn>,
        max_call_ms: u32,
        run: Option<crate::abi::RunFn>,
        cost: u32,
    }

    if cfg!(target_pointer_width = "64") {
        assert_eq!(size_of::<OlderEntry>(), size_of::<EventEntry>());
    }
    let older = |name| {
        let EventEntry { name, kind, flags, call, run, .. } = entry(name, kind::UNARY);
        OlderEntry { name, kind, flags, call, max_call_ms: 5, run, cost: 7 }
    };
    // SAFETY: a header is plain data; what it points to is static.
    let mut header = unsafe { GOOD.header().read() };
    let entries = vec![older("a"), older("b")].leak();
    (header.events, header.event_count) = (entries.as_ptr().cast(), entries.len());
    header.event_stride = size_of::<OlderEntry>() as u32;
    let table = checked(Box::leak(Box::new(header))).unwrap();
    let events: Vec<_> = table.events.iter().map(|event| (event.name.as_str(), event.cost)).collect();
    assert_eq!(events, [("a", 7), ("b", 7)]);
    assert!(table.entries.iter().all(|entry| entry.run.is_some()));
}

#[test]
fn a_package_without_hooks_and_with_unknown_flags_is_accepted() {
    // SAFETY: a header is plain data; what it points to is static.
    let mut header = unsafe { GOOD.header().read() };
    let entries = vec![EventEntry { flags: 12, ..entry("a", kind::STREAMING) }].leak();
    (header.events, header.event_count) = (entries.as_ptr(), entries.len());
    let table = checked(Box::leak(Box::new(header))).unwrap();
    assert_eq!((table.open_hook, table.close_hook), (None, None));
    assert!(!table.events[0].takes_upload);
}

#[test]
fn each_fault_of_a_header_has_its_own_error() {
    assert_eq!(checked(std::ptr::null()).err(), Some(AbiError::BadAddress));
    assert_eq!(changed(|header| header.magic = *b"\x7fELF\0\0\0\0"), AbiError::NotAPackage);
    let other = changed(|header| header.abi = 7);
    assert_eq!(other, AbiError::OtherAbi { found: 7, expected: ABI });
    assert!(other.to_string().contains("ABI 7, this host uses 1"), "{other}");
    let too_small = AbiError::TooSmall { table: "header", found: 79, expected: 80 };
    if cfg!(target_pointer_width = "64") {
        assert_eq!(changed(|header| header.size = 79), too_small);
    }
    assert!(matches!(changed(|header| header.size = 16), AbiError::TooSmall { table: "header", found: 16, .. }));
    assert!(matches!(changed(|header| header.event_stride = 8), AbiError::TooSmall { found: 8, .. }));
    assert_eq!(changed(|header| header.event_stride += 1), AbiError::Damaged("table of events"));
    assert_eq!(changed(|header| header.flags = 0), AbiError::Aborts);
    assert_eq!(changed(|header| header.package = Bytes::of_slice(b"\xff")), AbiError::Damaged("name"));
    assert_eq!(changed(|header| header.start = None), AbiError::Damaged("start function"));
    assert_eq!(changed(|header| header.events = std::ptr::null()), AbiError::Damaged("table of events"));
    assert_eq!(changed(|header| header.event_count = usize::MAX), AbiError::Damaged("table of events"));
}

#[test]
fn each_fault_of_an_entry_has_its_own_error() {
    let entries = |entries: Vec<EventEntry>| with_entries(entries.leak());
    let package = || "good".to_owned();
    let name = |name| EventName::parse(name).unwrap();
    assert!(matches!(entries(vec![entry("../x", kind::UNARY)]), AbiError::BadName { .. }));
    let reserved = AbiError::ReservedName { package: package(), name: name("aaw/x") };
    assert!(reserved.to_string().contains("the event name aaw/x is reserved"), "{reserved}");
    assert_eq!(entries(vec![entry("aaw/x", kind::UNARY)]), reserved);
    let twice = vec![entry("b", kind::UNARY), entry("a", kind::ONE_WAY), entry("b", kind::UNARY)];
    assert_eq!(entries(twice), AbiError::Duplicate { package: package(), name: name("b") });
    let unknown = AbiError::UnknownKind { package: package(), name: name("a"), found: 99 };
    assert_eq!(entries(vec![entry("a", 99)]), unknown);
    let hook = || AbiError::Damaged("table of hooks");
    assert_eq!(entries(vec![entry("_open", kind::CLOSE)]), hook());
    assert_eq!(entries(vec![entry("opened", kind::OPEN)]), hook());
    assert_eq!(entries(vec![entry("_open", kind::OPEN), entry("_open", kind::OPEN)]), hook());
    assert!(matches!(entries(vec![entry("_open", kind::UNARY)]), AbiError::BadName { .. }));
    for (name, kind) in [("_resume", kind::RESUME), ("_away", kind::AWAY), ("_back", kind::BACK)] {
        assert_eq!(entries(vec![entry("_other", kind)]), hook());
        assert_eq!(entries(vec![entry(name, kind), entry(name, kind)]), hook());
        // A host that does not know the kind refuses the package.
        assert!(matches!(entries(vec![entry(name, 99)]), AbiError::BadName { .. }));
    }
    for bad in ["guard", "users_guard", "/_guard", "../_guard", "users//_guard", "_guard/users"] {
        assert_eq!(entries(vec![entry(bad, kind::GUARD)]), AbiError::Damaged("table of guards"), "{bad}");
    }
    let twice = vec![entry("a/_guard", kind::GUARD), entry("_guard", kind::GUARD), entry("a/_guard", kind::GUARD)];
    assert_eq!(entries(twice), AbiError::Damaged("table of guards"));
    assert_eq!(entries(vec![entry("_reset", kind::PASSWORD_RESET)]), hook());
    let without_function = EventEntry { call: None, ..entry("a", kind::UNARY) };
    assert_eq!(entries(vec![without_function]), AbiError::Damaged("function of an event"));
}
