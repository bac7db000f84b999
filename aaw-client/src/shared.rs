//! What the handles and the driver share.

use std::sync::Arc;

use crate::connection_status::ConnectionStatus;
use crate::handlers::Handlers;
use crate::login_state::LoginState;
use crate::push::Listeners;

/// State that both sides use. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct SharedState {
    pub(crate) listeners: Arc<Listeners>,
    pub(crate) handlers: Arc<Handlers>,
    pub(crate) login: Arc<LoginState>,
    pub(crate) status: Arc<ConnectionStatus>,
}
