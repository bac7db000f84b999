//! Who is here.

use tokio::sync::watch;

/// What the handlers see as `services`.
pub struct Visitors {
    here: watch::Sender<usize>,
}

pub fn services() -> Visitors {
    Visitors { here: watch::Sender::new(0) }
}

impl Visitors {
    /// One more is here.
    pub fn come(&self) {
        self.here.send_modify(|here| *here += 1);
    }

    /// One has gone.
    pub fn go(&self) {
        self.here.send_modify(|here| *here = here.saturating_sub(1));
    }

    /// How many are here.
    pub fn here(&self) -> watch::Receiver<usize> {
        self.here.subscribe()
    }
}
