//! The API of a language model: the one in the environment, or the stand-in.

use std::time::Duration;

use aaw_event::prelude::*;

use crate::_api::Api;
use crate::_stand_in::StandIn;

/// What handlers receive as `services`.
pub struct Model {
    pub api: Api,
    /// The stand-in that `api` calls, if any. Dropping it stops it.
    stand_in: Option<StandIn>,
}

/// Uses the API at `OPENAI_BASE_URL`, with the key in `OPENAI_API_KEY` and the model in `OPENAI_MODEL`. Without an
/// address it starts a stand-in, so that the example works without an account.
pub async fn services() -> Result<Model> {
    let var = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
    match var("OPENAI_BASE_URL") {
        Some(base_url) => {
            let model = var("OPENAI_MODEL").unwrap_or_else(|| "gpt-4o-mini".to_owned());
            Ok(Model { api: Api::new(&base_url, var("OPENAI_API_KEY").as_deref(), &model)?, stand_in: None })
        }
        None => {
            let stand_in = StandIn::start(0, Duration::from_millis(40)).await?;
            tracing::info!("OPENAI_BASE_URL is not set: using a stand-in, at {}", stand_in.base_url());
            Model::from_stand_in(stand_in, "stand-in")
        }
    }
}

impl Model {
    /// Returns the model `name` of the stand-in.
    pub fn from_stand_in(stand_in: StandIn, name: &str) -> Result<Self> {
        Ok(Self { api: Api::new(&stand_in.base_url(), None, name)?, stand_in: Some(stand_in) })
    }

    /// Returns the stand-in, if that is used instead of a real API.
    pub fn stand_in(&self) -> Option<&StandIn> {
        self.stand_in.as_ref()
    }
}
