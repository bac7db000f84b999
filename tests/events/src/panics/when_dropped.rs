//! Waits at the gate `when_dropped`, and panics if it is dropped there.

use crate::_services::App;
use aaw_event::prelude::*;

struct Bomb {
    is_armed: bool,
}

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.is_armed, "dropped, with a secret");
    }
}

pub async fn handler(_: Empty, services: Services<App>) -> bool {
    let mut bomb = Bomb { is_armed: true };
    services.gate("when_dropped").pass().await;
    bomb.is_armed = false;
    true
}
