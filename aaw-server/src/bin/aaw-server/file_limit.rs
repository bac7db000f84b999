//! The limit of open files, and the connections that it has room for.

use aaw_server::Config;

/// The open files that a server has besides those of its connections, at most: of the store, of events, static files that are
/// being read, and refused connections whose clients receive the reason.
const MAX_RESERVE: u64 = 1024;

/// The same at least, of a server that may open few.
const MIN_RESERVE: u64 = 64;

/// Some thousand connections suffice for most servers, so only a lower limit is worth a warning, unless a number was set.
const ENOUGH: usize = 4096;

/// Raises the soft limit of open files, since each connection takes one. The limit is often 1024, for programs that use
/// `select`, which this one does not. Returns how many connections the server may have: `max_connections`, or fewer if the hard
/// limit allows no more. Else one client address could open all files, so that others would not even be refused.
pub(crate) fn raise(max_connections: usize) -> usize {
    let wanted = (max_connections as u64).saturating_add(MAX_RESERVE);
    let limit = match rlimit::increase_nofile_limit(wanted) {
        Ok(limit) => limit,
        Err(error) => {
            tracing::warn!("cannot raise the open-file limit: {error}");
            return max_connections;
        }
    };
    // Elsewhere it is not one of sockets.
    let connections = if cfg!(unix) { connections_within(limit).min(max_connections) } else { max_connections };
    if connections < max_connections {
        let text = "the open-file limit has room for fewer connections than max_connections: further ones are refused; raise it \
                    with `ulimit -n`";
        if connections < ENOUGH || max_connections != Config::default().max_connections {
            tracing::warn!(limit, connections, max_connections, "{text}");
        } else {
            tracing::info!(limit, connections, max_connections, "{text}");
        }
    }
    connections
}

/// Returns how many connections a process with this limit of open files has room for: an eighth of it is left for other files.
fn connections_within(limit: u64) -> usize {
    let reserve = (limit / 8).clamp(MIN_RESERVE.min(limit / 2), MAX_RESERVE);
    usize::try_from((limit - reserve).max(1)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_open_files_is_left_for_others_than_connections() {
        for (limit, connections) in [
            (0, 1),
            (1, 1),
            (20, 10),
            (200, 136),
            (1024, 896),
            (4096, 3584),
            (66_560, 65_536),
            (u64::MAX, usize::MAX - 1024),
        ] {
            assert_eq!(connections_within(limit), connections, "{limit}");
        }
    }
}
