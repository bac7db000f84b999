//! The limit of open files.

/// Raises the soft limit of open files, since each connection takes one. The limit is often 1024, for programs that use
/// `select`, which this one does not.
pub(crate) fn raise(max_connections: usize) {
    let max_connections = max_connections as u64;
    match rlimit::increase_nofile_limit(max_connections.saturating_add(1024)) {
        // Some thousand connections suffice for most servers, so only a lower limit is worth a warning.
        Ok(limit) if limit >= max_connections.min(4096) => {}
        Ok(limit) => tracing::warn!(
            limit,
            max_connections,
            "the open-file limit is below max_connections; raise it with `ulimit -n`"
        ),
        Err(error) => tracing::warn!("cannot raise the open-file limit: {error}"),
    }
}
