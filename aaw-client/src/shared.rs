//! What the handles and the driver share.

use std::sync::Arc;

use crate::client_session::ClientSession;
use crate::connection_status::ConnectionStatus;
use crate::handlers::Handlers;
use crate::push::Listeners;

/// State that both sides use. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct SharedState {
    pub(crate) listeners: Arc<Listeners>,
    pub(crate) handlers: Arc<Handlers>,
    pub(crate) session: Arc<ClientSession>,
    pub(crate) status: Arc<ConnectionStatus>,
}
