//! The admin listener: where a host is looked at and told what to do. Never on a port of applications: on a Unix socket that only this user
//! reaches, and, if asked for, on an address of the loopback, with a token.
//!
//! ```text
//! GET    /livez /readyz /healthz /version      is it there, and does it serve
//! GET    /metrics                              Prometheus
//! GET    /tenants /workers                     what they use; the processes
//! GET    /logs/TENANT[?follow]                 its last lines, and those to come
//! POST   /reload                               look at the configuration again
//! POST   /apps                                 serve what an [[app]] table says (TOML, as in host.toml)
//! DELETE /apps/TENANT/APP                      serve it no longer
//! POST   /apps/TENANT/APP/suspend | /resume
//! ```

pub mod client;
mod metrics;
mod routes;

use std::{convert::Infallible, fs, io, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming, header, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::Semaphore,
    time::sleep,
};

pub use self::metrics::text as metrics;
use self::routes::{Answer, answer, refused};
use crate::{config::Admin, exchange::Tasks, supervisor::Host};

/// Connections at once.
const CONNECTIONS: usize = 64;
/// Longest time to send a request's head.
const HEAD: Duration = Duration::from_secs(10);
/// After an error of `accept`, the next try waits so long.
const PAUSE: Duration = Duration::from_millis(100);

/// What a person asks for that the host does not know how to do: reading its configuration.
pub trait Operator: Send + Sync + 'static {
    /// Looks at the configuration again; what a person reads of it.
    fn reload(&self) -> impl Future<Output = Result<String, String>> + Send;
    /// Serves what an `[[app]]` table says, and remembers it.
    fn deploy(&self, table: String) -> impl Future<Output = Result<String, String>> + Send;
    /// Serves an application no longer, and forgets it. `None`: there is none.
    fn undeploy(&self, tenant: String, app: String) -> impl Future<Output = Option<Result<String, String>>> + Send;
    /// Suspends an application, or resumes it. `None`: there is none.
    fn suspend(&self, tenant: String, app: String, suspended: bool) -> impl Future<Output = Option<Result<String, String>>> + Send;
}

/// Listens, until the tasks are dropped.
///
/// # Errors
/// When it cannot listen there.
pub async fn listen<O: Operator>(admin: &Admin, host: &Arc<Host>, operator: &Arc<O>, tasks: &Tasks) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let unix = private_socket(&admin.socket)?;
    let (of_unix, unix_operator, unix_places, unix_tasks) = (Arc::clone(host), Arc::clone(operator), Arc::clone(&places), tasks.clone());
    tasks.spawn(async move {
        loop {
            match unix.accept().await {
                Ok((stream, _)) => serve(stream, None, &of_unix, &unix_operator, &unix_places, &unix_tasks).await,
                Err(_) => sleep(PAUSE).await,
            }
        }
    });
    if let Some((address, token)) = &admin.tcp {
        let tcp = TcpListener::bind(address).await.map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))?;
        let (host, operator, token, tasks_of) = (Arc::clone(host), Arc::clone(operator), Arc::<str>::from(token.as_str()), tasks.clone());
        tasks.spawn(async move {
            loop {
                match tcp.accept().await {
                    Ok((stream, _)) => serve(stream, Some(Arc::clone(&token)), &host, &operator, &places, &tasks_of).await,
                    Err(_) => sleep(PAUSE).await,
                }
            }
        });
    }
    Ok(())
}

/// A socket that only this user reaches. One that another host has left is replaced; one that a host listens on is not.
fn private_socket(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        let why = format!("{}: another host is told what to do here", path.display());
        return Err(io::Error::new(io::ErrorKind::AddrInUse, why));
    }
    if path.exists() {
        fs::remove_file(path)?;
    }
    // Bound under another name first: it has its permissions before anybody can find it.
    let hidden = path.with_extension("new");
    drop(fs::remove_file(&hidden));
    let listener = UnixListener::bind(&hidden).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", hidden.display())))?;
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o600))?;
    fs::rename(&hidden, path)?;
    Ok(listener)
}

async fn serve<O: Operator>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    token: Option<Arc<str>>,
    host: &Arc<Host>,
    operator: &Arc<O>,
    places: &Arc<Semaphore>,
    tasks: &Tasks,
) {
    let Ok(place) = Arc::clone(places).acquire_owned().await else { return };
    let (host, operator, changes) = (Arc::clone(host), Arc::clone(operator), tasks.clone());
    tasks.spawn(async move {
        let service = service_fn(move |request: Request<Incoming>| {
            let (host, operator, token, changes) = (Arc::clone(&host), Arc::clone(&operator), token.clone(), changes.clone());
            async move {
                let allowed = token.as_deref().is_none_or(|token| carries(&request, token));
                let response: Answer = if allowed { answer(request, &host, &operator, &changes).await } else { refused() };
                Ok::<_, Infallible>(response)
            }
        });
        let connection =
            http1::Builder::new().timer(TokioTimer::new()).header_read_timeout(HEAD).serve_connection(TokioIo::new(stream), service);
        if let Err(error) = connection.await {
            tracing::debug!("an admin connection ended: {error}");
        }
        drop(place);
    });
}

/// Whether a request carries the token (RFC 6750), looked at in a time that says nothing of it.
fn carries(request: &Request<Incoming>, token: &str) -> bool {
    let Some(given) = request.headers().get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer ")) else {
        return false;
    };
    let token = token.as_bytes();
    let differences = given.iter().zip(token).fold(0, |differences, (given, known)| differences | (given ^ known));
    given.len() == token.len() && differences == 0
}
