//! Waits at the gate `when_dropped`, and panics when it is dropped there.

use crate::_services::App;
use aaw_event::prelude::*;

struct Bomb {
    is_live: bool,
}

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.is_live, "dropped, with a secret");
    }
}

pub async fn handler(_: Empty, services: Services<App>) -> bool {
    let mut bomb = Bomb { is_live: true };
    services.gate("when_dropped").pass().await;
    bomb.is_live = false;
    true
}
