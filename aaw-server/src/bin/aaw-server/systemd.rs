//! What the program exchanges with a service manager such as systemd: sockets that it has opened, and the state of the
//! service.

use std::io;

use aaw_server::PassedListener;
use sd_notify::NotifyState;

/// Takes the sockets that the service manager has passed (`LISTEN_FDS`). To be called before the program starts threads,
/// since it changes the environment: child processes must not take the sockets for theirs.
///
/// # Errors
/// If a descriptor is no listening TCP or Unix stream socket.
pub(crate) fn passed_listeners() -> io::Result<Vec<PassedListener>> {
    let mut passed = listenfd::ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..passed.len() {
        let listener = match passed.take_unix_listener(index) {
            Ok(listener) => listener.map(PassedListener::from),
            Err(_) => passed.take_tcp_listener(index)?.map(PassedListener::from),
        };
        listeners.extend(listener);
    }
    Ok(listeners)
}

/// Tells the service manager (`NOTIFY_SOCKET`) that the server accepts connections.
pub(crate) fn notify_ready() {
    notify(NotifyState::Ready);
}

/// Tells the service manager that the server is stopping.
pub(crate) fn notify_stopping() {
    notify(NotifyState::Stopping);
}

/// Has no effect without a service manager.
fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!("cannot notify the service manager: {error}");
    }
}
