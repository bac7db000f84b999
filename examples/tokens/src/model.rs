//! Who answers.

use aaw_event::prelude::*;

use crate::_services::Model;

#[derive(Serialize)]
pub struct Answer {
    name: String,
    is_stand_in: bool,
}

pub async fn handler(_: Empty, services: Services<Model>) -> Answer {
    Answer { name: services.api.model().to_owned(), is_stand_in: services.stand_in().is_some() }
}
