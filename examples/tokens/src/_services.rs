//! The API of a language model: one's own choice, or the stand-in.

use std::time::Duration;

use aaw_event::prelude::*;

use crate::_api::Api;
use crate::_stand_in::StandIn;

/// What the handlers see as `services`.
pub struct Model {
    pub api: Api,
    /// Runs as long as this does.
    stand_in: Option<StandIn>,
}

/// `OPENAI_BASE_URL` names the API; without it, a stand-in is started and nobody else is asked, so that there is
/// something to see. The key is in `OPENAI_API_KEY`, the model in `OPENAI_MODEL`.
pub async fn services() -> Result<Model> {
    let var = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
    match var("OPENAI_BASE_URL") {
        Some(base_url) => {
            let model = var("OPENAI_MODEL").unwrap_or_else(|| "gpt-4o-mini".to_owned());
            Ok(Model { api: Api::new(&base_url, var("OPENAI_API_KEY").as_deref(), &model)?, stand_in: None })
        }
        None => {
            let stand_in = StandIn::start(0, Duration::from_millis(40)).await?;
            tracing::info!("no OPENAI_BASE_URL: a stand-in answers, at {}", stand_in.base_url());
            Model::of_stand_in(stand_in, "stand-in")
        }
    }
}

impl Model {
    /// A model of the stand-in, by name.
    pub fn of_stand_in(stand_in: StandIn, name: &str) -> Result<Self> {
        Ok(Self { api: Api::new(&stand_in.base_url(), None, name)?, stand_in: Some(stand_in) })
    }

    /// The stand-in, if it is no model at all that answers.
    pub fn stand_in(&self) -> Option<&StandIn> {
        self.stand_in.as_ref()
    }
}
