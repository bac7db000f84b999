//! The attacks.

mod accounts;
mod bodies;
mod calls;
mod framing;
mod handshakes;
mod over_http;
mod readers;
mod rooms;
mod uploads;

use crate::attack::Attack;

/// All attacks, in the order in which they run.
pub(crate) fn all() -> Vec<Attack> {
    [handshakes::ATTACKS, framing::ATTACKS, bodies::ATTACKS, calls::ATTACKS, readers::ATTACKS, rooms::ATTACKS]
        .into_iter()
        .chain([over_http::ATTACKS, uploads::ATTACKS, accounts::ATTACKS])
        .flatten()
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_different() {
        let names: BTreeSet<_> = all().iter().map(|attack| attack.name).collect();
        assert_eq!(names.len(), all().len());
    }
}
