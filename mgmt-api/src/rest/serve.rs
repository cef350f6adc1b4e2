//! The sockets: TCP on loopback, a Unix socket, or both.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::{Extension, Router};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::events::Stopping;
use super::origin;

/// Requests that are being answered when the server is asked to stop have so long.
const GRACE: Duration = Duration::from_secs(10);
/// Owner and group may connect: what connects may change everything.
const SOCKET_MODE: u32 = 0o660;

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A TCP address on loopback.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// Why the API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Nobody is asked who they are, so only this host may ask.
    #[error(
        "{0} is not a loopback address: the API has no access control yet; use 127.0.0.1, [::1] or a Unix socket"
    )]
    NotLoopback(SocketAddr),
    /// The address cannot be had.
    #[error("cannot listen on {at}: {source}")]
    Listen {
        /// Where.
        at: String,
        /// Why not.
        source: io::Error,
    },
    /// Another process answers on the socket.
    #[error("another process listens on {}: is another vtepd running?", .0.display())]
    InUse(PathBuf),
}

/// A socket that listens. A Unix socket is removed when this is dropped.
#[derive(Debug)]
pub enum Bound {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket and its path.
    Unix(UnixListener, SocketPath),
}

/// Removes the socket when dropped.
#[derive(Debug)]
pub struct SocketPath(PathBuf);

impl Drop for SocketPath {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Bound {
    /// The TCP address, with the port that the system chose if 0 was asked for.
    #[must_use]
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }
}

/// Listens, so that the caller knows of trouble before it says that it is up.
///
/// # Errors
/// The address is taken or may not be used.
pub async fn bind(endpoint: &Endpoint) -> Result<Bound, ServeError> {
    match endpoint {
        Endpoint::Tcp(address) if !address.ip().is_loopback() => {
            Err(ServeError::NotLoopback(*address))
        }
        Endpoint::Tcp(address) => {
            let listen = |source| ServeError::Listen {
                at: address.to_string(),
                source,
            };
            Ok(Bound::Tcp(
                TcpListener::bind(address).await.map_err(listen)?,
            ))
        }
        Endpoint::Unix(path) => bind_unix(path),
    }
}

fn bind_unix(path: &Path) -> Result<Bound, ServeError> {
    let listen = |source| ServeError::Listen {
        at: path.display().to_string(),
        source,
    };
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => return Err(ServeError::InUse(path.to_owned())),
        // Left behind by a process that was killed.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(listen)?;
        }
        Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(listen)?;
    let path = SocketPath(path.to_owned());
    std::fs::set_permissions(&path.0, std::fs::Permissions::from_mode(SOCKET_MODE))
        .map_err(listen)?;
    Ok(Bound::Unix(listener, path))
}

/// Answers requests until `shutdown` completes, then finishes those under way.
///
/// # Errors
/// Accepting connections failed.
pub async fn serve(
    bound: Vec<Bound>,
    router: Router,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let (stop, stopped) = watch::channel(false);
    let router = router.layer(Extension(Stopping(stopped.clone())));
    let mut servers = JoinSet::new();
    for bound in bound {
        let (router, mut stopped) = (router.clone(), stopped.clone());
        let stopped = async move {
            // An error means that the sender is gone, which is a stop too.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        servers.spawn(async move {
            match bound {
                Bound::Tcp(listener) => {
                    let guard = axum::middleware::from_fn(origin::require_loopback);
                    axum::serve(listener, router.layer(guard))
                        .with_graceful_shutdown(stopped)
                        .await
                }
                Bound::Unix(listener, _path) => {
                    axum::serve(listener, router)
                        .with_graceful_shutdown(stopped)
                        .await
                }
            }
        });
    }
    tokio::select! {
        () = shutdown => {}
        Some(ended) = servers.join_next() => return ended.unwrap_or_else(|error| Err(io::Error::other(error))),
    }
    stop.send_replace(true);
    let finish = async {
        while let Some(ended) = servers.join_next().await {
            ended.unwrap_or_else(|error| Err(io::Error::other(error)))?;
        }
        Ok(())
    };
    // Whoever does not finish in time is cut off as the servers are dropped.
    tokio::time::timeout(GRACE, finish).await.unwrap_or(Ok(()))
}
