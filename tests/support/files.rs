//! How many files, and so connections, this process may have open.

/// Raises the soft limit, which is often 1024, far enough for the tests that open thousands.
///
/// # Panics
/// When the hard limit is lower.
pub fn allow_files() {
    const ENOUGH: u64 = 8192;
    let limit = rlimit::increase_nofile_limit(ENOUGH).expect("the limit can be asked for");
    assert!(limit >= ENOUGH, "at most {limit} files can be open: raise the hard limit (ulimit -Hn) to {ENOUGH}");
}
