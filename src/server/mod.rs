//! The server: sockets and HTTP around [`crate::exchange`].
//!
//! ```text
//! listener → connection → framing → router → admission → exchange → reply
//! ```
//!
//! [`Server`] is one worker: it is given its listeners, runs on the one thread that polls it, and knows no other worker. A supervisor
//! hands the same listeners to several.

mod access_log;
mod admission;
mod broken;
mod connection;
mod error_page;
mod guard;
mod listener;
mod patience;
mod reply;
mod router;
mod site;
mod static_files;

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::watch, time::timeout};

use self::{admission::Admission, listener::Doors};
pub use self::{
    admission::Bells,
    broken::broken,
    error_page::Errors,
    listener::bind,
    router::{Router, Table},
    site::{Load, Site},
    static_files::StaticFolder,
};
use crate::{environ::Proxies, exchange::Tasks, framing::Rules, ledger::Callers, limits::Limits};

/// How often idle instances are looked at.
const HOUSEKEEPING: Duration = Duration::from_secs(5);

/// What a server needs to know.
pub struct Config {
    /// Where it listens; port 0 takes a free one.
    pub bind: Vec<SocketAddr>,
    /// What it serves where; it can be replaced while the server runs.
    pub router: Arc<Router>,
    /// What holds for all its connections, whatever they ask for: the limits of requests' heads, of connections, and its places.
    pub limits: Limits,
    /// How the workers of a host tell each other that a place is free.
    pub bells: Bells,
    /// Where connections are counted.
    pub callers: Callers,
    /// How long a stop waits for requests in flight.
    pub stop_grace: Duration,
    /// Who sees what an application raised.
    pub errors: Errors,
    /// The proxies that may say who the client is; none by default.
    pub proxies: Proxies,
}

/// A worker with its listeners.
///
/// ```no_run
/// use std::{sync::Arc, time::Duration};
/// use wasgi::{
///     AppOptions, Artifacts, Bells, Callers, Config, Engine, Errors, Limits, Mount, Proxies, Route, Router, Server, Site, Start, Table, TenantId, TenantLog,
///     Uploads,
/// };
///
/// # async fn example() -> anyhow::Result<()> {
/// let limits = Limits::default();
/// let engine = Engine::new(&limits)?;
/// let options = AppOptions::new(TenantLog::new(TenantId::of("hello"), &limits));
/// let loaded = Artifacts::new("/var/cache/wasgi")?.app(&engine, "hello.wasm".as_ref(), options, Start::Released).await?;
/// let route = Route { app: Arc::new(loaded.app), mount: Mount::default(), uploads: Uploads::Streamed };
///
/// let router = Arc::new(Router::new(Table::of_one(Site::ready(route, Vec::new()))));
/// let server = Server::bind(Config {
///     bind: vec![([127, 0, 0, 1], 0).into()],
///     router,
///     limits,
///     bells: Bells::default(),
///     callers: Callers::alone(),
///     stop_grace: Duration::from_secs(10),
///     errors: Errors::Hidden,
///     proxies: Proxies::default(),
/// })?;
/// println!("http://{}", server.local_addr()[0]);
/// server.run(async { drop(tokio::signal::ctrl_c().await) }).await;
/// # Ok(())
/// # }
/// ```
pub struct Server {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    stop_grace: Duration,
}

/// What all connections of a worker share.
struct Shared {
    router: Arc<Router>,
    admission: Arc<Admission>,
    doors: Arc<Doors>,
    rules: Arc<Rules>,
    errors: Errors,
    tasks: Tasks,
}

impl Server {
    /// Binds the addresses. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When an address is in use or not ours; the error names it.
    pub fn bind(config: Config) -> io::Result<Self> {
        let listeners = config.bind.iter().map(bind).collect::<io::Result<Vec<_>>>()?;
        Self::with_listeners(listeners, config)
    }

    /// Serves on listeners that were bound elsewhere, by a supervisor or by a service manager, instead of those that `config` names.
    ///
    /// # Errors
    /// When a listener cannot be made ready for this runtime.
    pub fn with_listeners(listeners: Vec<std::net::TcpListener>, config: Config) -> io::Result<Self> {
        let Config { bind: _, router, limits, bells, callers, stop_grace, errors, proxies } = config;
        let ready = |listener: std::net::TcpListener| {
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        };
        let listeners = listeners.into_iter().map(ready).collect::<io::Result<Vec<_>>>()?;
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
        let admission = Admission::new(limits.worker_instances, bells);
        let doors = Arc::new(Doors::new(&limits, proxies.clone(), callers));
        let rules = Arc::new(Rules { limits, proxies });
        let shared = Arc::new(Shared { router, admission, doors, rules, errors, tasks: Tasks::default() });
        Ok(Self { listeners, addresses, shared, stop_grace })
    }

    /// The addresses that it listens on, in the order of the configuration.
    #[must_use]
    pub fn local_addr(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until `shutdown` is ready. Then no connection is accepted any more, idle ones are closed, and requests in flight have
    /// `stop_grace` to end. The guest's time is limited anyhow; the grace bounds slow clients.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { listeners, shared, stop_grace, .. } = self;
        let stop = watch::Sender::new(false);
        for listener in listeners {
            let accepting = listener::accept(listener, Arc::clone(&shared), stop.subscribe());
            shared.tasks.spawn(accepting);
        }
        let housekeeping = async {
            loop {
                tokio::time::sleep(HOUSEKEEPING).await;
                shared.router.retire_idle();
            }
        };
        let watching = async {
            if let Err(error) = shared.admission.watch().await {
                tracing::error!("the other workers cannot be heard: {error}");
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = shutdown => {}
            () = housekeeping => {}
            () = watching => {}
        }
        stop.send_replace(true);
        // Requests that wait for a place, or are on their way, are served yet: only the next connection is another one's.
        let waiting = async {
            if let Err(error) = shared.admission.watch().await {
                tracing::error!("the other workers cannot be heard: {error}");
            }
            std::future::pending::<()>().await;
        };
        let ended = async {
            tokio::select! {
                () = shared.tasks.wait() => {}
                () = waiting => {}
            }
        };
        if timeout(stop_grace, ended).await.is_err() {
            shared.admission.stop();
            tracing::warn!("{} tasks did not end within the grace of a stop, and are broken off", shared.tasks.len());
            shared.tasks.break_off();
            shared.tasks.wait().await;
        }
    }
}
