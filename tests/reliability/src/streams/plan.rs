//! Where the connections of a transfer are cut.

use aaw_tests::fault_proxy::Direction::{ToClient, ToServer};
use aaw_tests::fault_proxy::{ConnectionPlan, Fault, FaultPlan, FaultPoint};
use aaw_tests::random::Random;

use super::transfer::{ITEM_BYTES, Transfer};

/// About the bytes in each direction before the first item: the handshake, and the messages that resume.
const BEFORE_ITEMS: u64 = 700;

/// Returns a plan with this many cuts, all of which occur before the transfer is over: on average, half of the items are
/// transferred until then. Half of the cuts are resets.
pub(super) fn plan(transfer: Transfer, items: u64, cuts: u64, mut random: Random) -> FaultPlan {
    // About the bytes of 100 items in each direction. The acknowledgements and the credit of a stream have few.
    let (to_server, to_client) = match transfer {
        Transfer::Stream => (150, 3200),
        Transfer::Upload => (100 * ITEM_BYTES as u64, 100 * ITEM_BYTES as u64),
    };
    let plans = (0..cuts).map(|_| {
        let (direction, of_items) = if random.percent(50) { (ToServer, to_server) } else { (ToClient, to_client) };
        let bytes = random.below(BEFORE_ITEMS + of_items * items / cuts / 100);
        let fault = if random.percent(50) { Fault::Reset } else { Fault::Close };
        ConnectionPlan { fault: Some((FaultPoint::Bytes(direction, bytes), fault)), ..ConnectionPlan::default() }
    });
    FaultPlan::Listed(plans.collect())
}
