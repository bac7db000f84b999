//! When a connection that has not responded to a ping leaves its place to another one of its address.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aaw_protocol::Dialect;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::{Instant, sleep_until, timeout};

use super::tests::{serve_admitted, text};
use crate::address_limits::{AddressLimits, AddressRates, ConnectionLimit};
use crate::client_network::ClientNetwork;
use crate::config::Config;
use crate::hub::Hub;
use crate::registry::Registry;

/// A connection of an address with one place, whose client reads nothing by itself.
struct OnePlace {
    limits: AddressLimits,
    client: DuplexStream,
    start: Instant,
}

impl OnePlace {
    fn new(config: Config) -> Self {
        let rates = AddressRates { handshakes: 1000, calls: 1000, bytes: 1 << 20, contention_delay: Duration::MAX };
        let limits = AddressLimits::new(&rates);
        let hub = Arc::new(Hub::default());
        let mut permit = hub.admit(1).expect("it is the first");
        let (start, (server, client)) = (Instant::now(), duplex(1 << 10));
        permit.set_address(limits.connect(network(), ConnectionLimit::Max(1), start.into_std()).expect("a place"));
        let config = Config { max_connections_per_address: Some(1), ..config };
        drop(serve_admitted(&hub, permit, config, Registry::default(), Dialect::Classic, server));
        Self { limits, client, start }
    }

    /// Makes calls whose responses the pipe does not hold, until none is read for a second or there are enough.
    async fn call(&mut self) {
        let call = text(r#"["x",null]"#);
        for _ in 0..200 {
            let sent = self.client.write_all(&call);
            if timeout(Duration::from_secs(1), sent).await.is_err() {
                return;
            }
        }
    }

    /// Whether a new connection gets the place this many seconds after the start.
    async fn is_left_after(&self, seconds: u64) -> bool {
        sleep_until(self.start + Duration::from_secs(seconds)).await;
        self.limits.connect(network(), ConnectionLimit::Max(1), Instant::now().into_std()).is_ok()
    }
}

fn network() -> ClientNetwork {
    IpAddr::from([192, 0, 2, 1]).into()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_respond_leaves_its_place_after_a_quarter_of_the_interval() {
    let place = OnePlace::new(Config::default());
    assert!(!place.is_left_after(24).await);
    assert!(place.is_left_after(26).await);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_what_waits_for_it_keeps_its_place() {
    let mut place = OnePlace::new(Config::default());
    place.call().await;
    assert!(place.start.elapsed() < Duration::from_secs(1), "its input is read");
    sleep_until(place.start + Duration::from_secs(24)).await;
    place.client.read_exact(&mut [0; 512]).await.expect("responses");
    assert!(!place.is_left_after(28).await);
    assert!(place.is_left_after(30).await);
}
