use aaw_event::Member;
use aaw_event::prelude::*;

pub async fn handler(name: String, services: Services) -> Vec<Member> {
    services.room.members(&name)
}
