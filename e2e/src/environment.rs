//! The environment of Envoy: beside the test on this machine, or in a container of its own behind a
//! [launcher](crate::scene::launcher).
//!
//! The same tests run in both. Two things that they may not take for granted are here: that Envoy, its
//! clients and its upstream share the address 127.0.0.1, and that another loopback address is somebody else.

use std::env::VarError;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::sync::LazyLock;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::not_run::not_run;

/// The variable that names the launcher, as `<host>:<port>`. Without it Envoy runs on this machine.
pub const LAUNCHER: &str = "POSTERN_LAUNCHER";

/// The variable that names the [relay](crate::containers::relay) of another client, as `<host>:<port>`.
pub const NEIGHBOUR: &str = "POSTERN_NEIGHBOUR";

/// The variable that is there if every scene is to have an Envoy of its own. Envoy 1.36.4 and 1.37.0 die of a segmentation fault
/// where clusters come and go by CDS while a module calls one.
const OWN_ENVOYS: &str = "POSTERN_OWN_ENVOYS";

/// The client that is meant when none in particular is.
const FIRST_CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The environment of a test and its Envoy.
#[derive(Debug)]
pub enum Environment {
    /// One machine for both: this one.
    Native,
    /// A container for each.
    Containers(Addresses),
}

/// The addresses of the containers that a test in one of them must know.
#[derive(Debug)]
pub struct Addresses {
    /// The launcher's address, and with it Envoy's.
    pub launcher: SocketAddr,
    /// Envoy's name.
    host: String,
    /// The address of this container, as Envoy sees it.
    own: IpAddr,
    /// The address of the other client's relay.
    neighbour: SocketAddr,
}

static ENVIRONMENT: LazyLock<Environment> =
    LazyLock::new(|| Environment::of_variables().unwrap_or_else(|why| panic!("{why}")));

/// Returns the environment that the variables name.
pub fn current() -> &'static Environment {
    &ENVIRONMENT
}

/// Says whether scenes that need nothing special may share an Envoy.
pub fn shares_envoys() -> bool {
    std::env::var_os(OWN_ENVOYS).is_none()
}

/// Says that tests run in containers, and that one of them cannot for this reason: it ends there.
#[must_use]
pub fn is_in_containers(why: &str) -> bool {
    let is = matches!(current(), Environment::Containers(_));
    if is {
        not_run(why);
    }
    is
}

/// Opens a listener on a free port, at the address where Envoy reaches it.
pub async fn listener() -> TcpListener {
    TcpListener::bind((current().own(), 0)).await.expect("a free port")
}

impl Environment {
    fn of_variables() -> Result<Self, String> {
        let launcher = match std::env::var(LAUNCHER) {
            Ok(launcher) => launcher,
            Err(VarError::NotPresent) => return Ok(Self::Native),
            Err(error) => return Err(format!("{LAUNCHER}: {error}")),
        };
        let address = resolve(LAUNCHER, &launcher)?;
        let neighbour = std::env::var(NEIGHBOUR).map_err(|error| format!("{NEIGHBOUR}: {error}"))?;
        // The system is asked which of this container's addresses it would use, which sends nothing.
        let own = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
            .and_then(|socket| socket.connect(address).and_then(|()| socket.local_addr()))
            .map_err(|error| format!("no way to {launcher}: {error}"))?
            .ip();
        Ok(Self::Containers(Addresses {
            launcher: address,
            host: launcher.split(':').next().unwrap_or_default().to_owned(),
            own,
            neighbour: resolve(NEIGHBOUR, &neighbour)?,
        }))
    }

    /// Returns the address of this process, for Envoy.
    pub fn own(&self) -> IpAddr {
        match self {
            Self::Native => FIRST_CLIENT,
            Self::Containers(addresses) => addresses.own,
        }
    }

    /// Returns the address that Envoy listens at.
    pub fn envoy(&self) -> IpAddr {
        match self {
            Self::Native => FIRST_CLIENT,
            Self::Containers(addresses) => addresses.launcher.ip(),
        }
    }

    /// Returns the name by which clients know Envoy.
    pub fn host(&self) -> &str {
        match self {
            Self::Native => "localhost",
            Self::Containers(addresses) => &addresses.host,
        }
    }

    /// Returns the address that Envoy sees of a client that a test calls `client`: 127.0.0.1 is the first
    /// client, and every other loopback address the second.
    pub fn address_of(&self, client: IpAddr) -> IpAddr {
        match self {
            Self::Native => client,
            Self::Containers(addresses) if client == FIRST_CLIENT => addresses.own,
            Self::Containers(addresses) => addresses.neighbour.ip(),
        }
    }

    /// Connects as the client that a test calls `client`.
    pub(crate) async fn connect(&self, to: SocketAddr, client: Option<IpAddr>) -> io::Result<TcpStream> {
        let other = client.filter(|client| *client != FIRST_CLIENT);
        let stream = match (self, other) {
            (_, None) => TcpStream::connect(to).await?,
            (Self::Native, Some(client)) => {
                let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
                socket.bind(SocketAddr::new(client, 0))?;
                socket.connect(to).await?
            }
            (Self::Containers(addresses), Some(_)) => {
                let mut stream = TcpStream::connect(addresses.neighbour).await?;
                stream.write_all(format!("{to}\n").as_bytes()).await?;
                stream
            }
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

fn resolve(variable: &str, name: &str) -> Result<SocketAddr, String> {
    let mut addresses = name.to_socket_addrs().map_err(|error| format!("{variable}={name}: {error}"))?;
    addresses.find(SocketAddr::is_ipv4).ok_or_else(|| format!("{variable}={name} has no IPv4 address"))
}
