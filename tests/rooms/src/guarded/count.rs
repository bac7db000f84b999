use aaw_event::prelude::*;

use crate::_services::App;

pub fn handler(to: u8, services: Services<App>) -> impl Stream<Item = u8> {
    services.record("guarded/count");
    stream! {
        for number in 1..=to {
            yield number;
        }
    }
}
