//! Returns the name of the model, and whether it is the stand-in.

use aaw_event::prelude::*;

use crate::_services::Model;

#[derive(Serialize)]
pub struct ModelInfo {
    name: String,
    is_stand_in: bool,
}

pub async fn handler(_: Empty, services: Services<Model>) -> ModelInfo {
    ModelInfo { name: services.api.model().to_owned(), is_stand_in: services.stand_in().is_some() }
}
