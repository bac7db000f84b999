//! Where connections come from: the addresses of attackers and of well-behaved clients.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::ValueEnum;
use socket2::{Domain, Protocol, Socket, Type};

/// How many addresses [`Sources::Fifty`] has.
const FIFTY: usize = 50;

/// Where an attack comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Sources {
    /// 127.0.0.1
    One,
    /// 127.0.0.2 to 127.0.0.51
    Fifty,
    /// One client behind a trusted proxy, through which the well-behaved clients come, too
    Proxy,
}

/// Where one connection comes from.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    address: Ipv4Addr,
    /// The client's address as a proxy reports it.
    forwarded: Option<Ipv4Addr>,
}

impl Sources {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One => "one address",
            Self::Fifty => "fifty addresses",
            Self::Proxy => "one, by proxy",
        }
    }

    /// The number of addresses that the server should see.
    pub(crate) fn addresses(self) -> usize {
        match self {
            Self::One | Self::Proxy => 1,
            Self::Fifty => FIFTY,
        }
    }

    /// The place of an attacker.
    pub(crate) fn attacker(self, number: usize) -> Place {
        match self {
            Self::One => Place { address: Ipv4Addr::LOCALHOST, forwarded: None },
            Self::Fifty => Place { address: Ipv4Addr::new(127, 0, 0, 2 + (number % FIFTY) as u8), forwarded: None },
            Self::Proxy => Place { address: Ipv4Addr::LOCALHOST, forwarded: Some(Ipv4Addr::new(203, 0, 113, 9)) },
        }
    }

    /// The place of well-behaved clients whose address no attacker has. `number` tells them apart.
    pub(crate) fn elsewhere(self, number: u8) -> Place {
        match self {
            Self::One | Self::Fifty => Place { address: Ipv4Addr::new(127, 9, 0, number), forwarded: None },
            Self::Proxy => Place { address: Ipv4Addr::LOCALHOST, forwarded: Some(Ipv4Addr::new(198, 51, 100, number)) },
        }
    }
}

impl Place {
    /// The header lines that a proxy would add.
    pub(crate) fn header_lines(&self) -> String {
        self.forwarded.map_or_else(String::new, |address| format!("X-Forwarded-For: {address}\r\n"))
    }

    /// Returns a socket that is bound to the address of this place.
    pub(crate) fn socket(&self) -> io::Result<Socket> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.bind(&SocketAddr::new(IpAddr::V4(self.address), 0).into())?;
        socket.set_tcp_nodelay(true)?;
        Ok(socket)
    }

    /// Connects, and blocks meanwhile.
    pub(crate) fn connect(&self, target: SocketAddr, timeout: Duration) -> io::Result<std::net::TcpStream> {
        let socket = self.socket()?;
        socket.connect_timeout(&target.into(), timeout)?;
        let socket = std::net::TcpStream::from(socket);
        socket.set_read_timeout(Some(timeout))?;
        socket.set_write_timeout(Some(timeout))?;
        Ok(socket)
    }
}
