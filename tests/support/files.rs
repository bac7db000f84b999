//! The limit on the files, and so on the connections, that this process may have open.

/// Raises the soft limit, which is often 1024, to what the tests with thousands of connections need.
///
/// # Panics
/// If the hard limit is lower.
pub fn raise_open_file_limit() {
    const NEEDED: u64 = 8192;
    let limit = rlimit::increase_nofile_limit(NEEDED).expect("the system returns the limit");
    assert!(limit >= NEEDED, "the open-file limit is {limit}: raise the hard limit (ulimit -Hn) to {NEEDED}");
}
