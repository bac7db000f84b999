//! The sockets that a server accepts connections on: TCP and Unix, bound here or passed by another program.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::config::Config;
use crate::error::StartError;
use crate::listen_address::{BoundAddress, ListenAddress};
#[cfg(unix)]
use crate::net::unix_socket::UnixSocket;
use crate::trusted_proxy::Peer;

/// A listening socket that another program has opened, such as a service manager. Made from one of the standard library:
/// `TcpListener`, or `UnixListener` on Unix.
#[derive(Debug)]
pub struct PassedListener(Passed);

#[derive(Debug)]
enum Passed {
    Tcp(std::net::TcpListener),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixListener),
}

impl PassedListener {
    /// Returns another handle of the same socket.
    ///
    /// # Errors
    /// That of the operating system, for example because too many files are open.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(match &self.0 {
            Passed::Tcp(listener) => Passed::Tcp(listener.try_clone()?),
            #[cfg(unix)]
            Passed::Unix(listener) => Passed::Unix(listener.try_clone()?),
        }))
    }
}

impl From<std::net::TcpListener> for PassedListener {
    fn from(listener: std::net::TcpListener) -> Self {
        Self(Passed::Tcp(listener))
    }
}

#[cfg(unix)]
impl From<std::os::unix::net::UnixListener> for PassedListener {
    fn from(listener: std::os::unix::net::UnixListener) -> Self {
        Self(Passed::Unix(listener))
    }
}

/// A socket that connections are accepted on.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixSocket),
}

/// A connection that was accepted.
#[derive(Debug)]
pub(crate) enum Accepted {
    Tcp(TcpStream, SocketAddr),
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
}

impl Accepted {
    /// The other end.
    pub(crate) fn peer(&self) -> Peer {
        match self {
            Self::Tcp(_, address) => Peer::Tcp(*address),
            #[cfg(unix)]
            Self::Unix(_) => Peer::Unix,
        }
    }
}

impl Listener {
    /// Listens on all addresses of the config.
    pub(crate) async fn bind_all(config: &Config) -> Result<Vec<Self>, StartError> {
        let default = [ListenAddress::Tcp { host: config.bare_host().to_owned(), port: None }];
        let addresses = if config.listen.is_empty() { &default[..] } else { &config.listen };
        let mut listeners = Vec::with_capacity(addresses.len());
        for address in addresses {
            let bound = match address {
                ListenAddress::Tcp { host, port } => {
                    bind_tcp(host, port.unwrap_or(config.port), config.listen_backlog, addresses).await.map(Self::Tcp)
                }
                #[cfg(unix)]
                ListenAddress::Unix(path) => {
                    UnixSocket::bind(path, config.unix_socket_mode, config.listen_backlog).map(Self::Unix)
                }
                #[cfg(not(unix))]
                ListenAddress::Unix(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "only possible on Unix")),
            };
            let address = match address {
                ListenAddress::Tcp { host, port } => {
                    ListenAddress::Tcp { host: host.clone(), port: Some(port.unwrap_or(config.port)) }
                }
                unix => unix.clone(),
            };
            listeners.push(bound.map_err(|source| StartError::Bind { address: address.to_string(), source })?);
        }
        Ok(listeners)
    }

    /// Takes over a socket that another program has opened.
    pub(crate) fn passed(listener: PassedListener) -> Result<Self, StartError> {
        let taken = match listener.0 {
            Passed::Tcp(listener) => {
                listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener)).map(Self::Tcp)
            }
            #[cfg(unix)]
            Passed::Unix(listener) => UnixSocket::passed(listener).map(Self::Unix),
        };
        taken.map_err(|source| StartError::Bind { address: "a socket that was passed".into(), source })
    }

    pub(crate) fn address(&self) -> io::Result<BoundAddress> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(BoundAddress::Tcp),
            #[cfg(unix)]
            Self::Unix(socket) => Ok(BoundAddress::Unix(socket.path().to_owned())),
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(socket, address)| Accepted::Tcp(socket, address)),
            #[cfg(unix)]
            Self::Unix(socket) => socket.accept().await.map(Accepted::Unix),
        }
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for Listener {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}

/// Listens on the first of the host's addresses on which that is possible.
async fn bind_tcp(host: &str, port: u16, backlog: u32, all: &[ListenAddress]) -> io::Result<TcpListener> {
    let mut result = Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    for address in tokio::net::lookup_host((host, port)).await? {
        // `::` includes IPv4, whatever the system's default is, unless IPv4 has an address of its own among ours.
        let with_ipv4 = !all.iter().any(is_every_ipv4_interface);
        result = listen(address, with_ipv4, backlog);
        if result.is_ok() {
            break;
        }
    }
    result
}

fn is_every_ipv4_interface(address: &ListenAddress) -> bool {
    let ListenAddress::Tcp { host, .. } = address else { return false };
    host.parse().is_ok_and(|ip: IpAddr| ip.is_ipv4() && ip.is_unspecified())
}

fn listen(address: SocketAddr, with_ipv4: bool, backlog: u32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // On Windows it would let other programs take the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(!with_ipv4)?;
    }
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}
