use aaw_event::prelude::*;

pub async fn handler(call: GuardedCall) -> Result<()> {
    call.identity.map(drop).ok_or_else(|| Error::new("Staff only"))
}
