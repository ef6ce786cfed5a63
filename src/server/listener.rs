//! Accepts connections, within the limits of all and of a peer.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use rustix::net::listen;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::sleep,
};

use super::{Shared, connection};
use crate::{
    environ::{Local, Peer, Proxies},
    ledger::{Account, Callers, Gauge},
    limits::Limits,
};

/// Connections that may wait to be accepted; the system's own bound (`net.core.somaxconn`) is most often the same. With the 128 of the standard
/// library, a client that opens some hundreds at once has the system drop the first packet of others', who try again after a second (listen(2)).
const BACKLOG: i32 = 4_096;
/// After an error of `accept`, most often too many open files, the next try waits so long.
const PAUSE: Duration = Duration::from_millis(100);
/// Who has some more connections than another worker leaves the next one to it for so long.
const LEAVE: Duration = Duration::from_millis(1);
/// How many more, and which part of the other's.
const MORE: u64 = 2;
const PART: u64 = 4;
/// How often it is told that connections are refused.
const TELL: Duration = Duration::from_secs(1);

/// Binds an address.
///
/// # Errors
/// When it is in use or not ours; the error names it.
pub fn bind(address: &SocketAddr) -> io::Result<std::net::TcpListener> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}"));
    let listener = std::net::TcpListener::bind(address).map_err(named)?;
    listen(&listener, BACKLOG).map_err(|error| named(error.into()))?;
    Ok(listener)
}

/// Lets connections in: so many in all, and so many of a peer, over all workers.
#[derive(Debug)]
pub(super) struct Doors {
    all: u64,
    of_peer: u64,
    /// These stand for many clients.
    proxies: Proxies,
    callers: Callers,
    told: Mutex<Option<Instant>>,
}

impl Doors {
    pub(super) fn new(limits: &Limits, proxies: Proxies, callers: Callers) -> Self {
        Self { all: limits.connections, of_peer: limits.peer_connections, proxies, callers, told: Mutex::default() }
    }

    /// Lets a connection in, until the result is dropped.
    fn enter(&self, peer: IpAddr) -> Option<[Inside; 2]> {
        let of_peer = if self.proxies.trusts(peer) { self.all } else { self.of_peer };
        let own = Inside::take(self.callers.of_peer(household(peer))?, of_peer)?;
        Some([own, Inside::take(self.callers.all()?, self.all)?])
    }

    /// Says whether this worker accepts connections.
    fn listens(&self, listens: bool) {
        self.callers.all().iter().for_each(|all| all.set(Gauge::Listening, listens.into()));
    }

    /// Whether another worker that accepts has so few connections that the next one is better left to it: each worker computes on a core of
    /// its own, and a connection stays where it was accepted.
    fn is_ahead(&self) -> bool {
        self.callers.all().is_some_and(|all| {
            let least = all.least_of_others(Gauge::Connections, Gauge::Listening);
            least.is_some_and(|least| all.part(Gauge::Connections) >= least.saturating_add(MORE).saturating_add(least / PART))
        })
    }

    /// Says that a connection was refused, once a second: who is refused must not fill the log.
    fn tell(&self, peer: SocketAddr) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() >= TELL) {
            *told = Some(Instant::now());
            tracing::info!(%peer, "a connection was refused: there are too many");
        }
    }
}

/// Whom an address counts for: one who has an IPv6 address has its whole /64.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// A connection that was let in, in one of the counts.
#[derive(Debug)]
pub(super) struct Inside(Account);

impl Inside {
    fn take(account: Account, most: u64) -> Option<Self> {
        account.take(Gauge::Connections, 1, most).then(|| Self(account))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.give_back(Gauge::Connections, 1);
    }
}

/// Accepts until `stop`. A connection above a limit is closed at once, before anything is read.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    shared.doors.listens(true);
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stopping| *stopping) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                open(stream, peer, &shared, &stop);
                if shared.doors.is_ahead() {
                    sleep(LEAVE).await;
                }
            }
            Err(error) => {
                tracing::warn!("accepting a connection failed: {error}");
                sleep(PAUSE).await;
            }
        }
    }
    shared.doors.listens(false);
    // Those that the kernel has accepted for us are served too: their clients are connected.
    let mut context = Context::from_waker(Waker::noop());
    while let Poll::Ready(Ok((stream, peer))) = listener.poll_accept(&mut context) {
        open(stream, peer, &shared, &stop);
    }
}

/// Begins to serve a connection, if it is let in.
fn open(stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>, stop: &watch::Receiver<bool>) {
    let Some(inside) = shared.doors.enter(peer.ip()) else {
        shared.doors.tell(peer);
        return;
    };
    let Ok(local) = stream.local_addr() else { return };
    let serving = connection::serve(stream, Peer(peer), Local(local), Arc::clone(shared), stop.clone());
    shared.tasks.spawn(async move {
        serving.await;
        drop(inside);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;

    fn doors(connections: u64, peer_connections: u64) -> Arc<Doors> {
        Arc::new(Doors::new(&Limits { connections, peer_connections, ..Limits::default() }, Proxies::default(), Callers::alone()))
    }

    #[test]
    fn hundreds_of_connections_wait_to_be_accepted_and_one_more_is_not_told_to_try_again() {
        let listener = bind(&SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let waiting: Vec<_> = (0..500).map(|_| std::net::TcpStream::connect_timeout(&address, Duration::from_secs(5))).collect();
        assert_eq!(waiting.iter().filter(|opened| opened.is_ok()).count(), 500);
    }

    #[test]
    fn a_peers_connections_are_let_in_under_and_at_its_limit_and_refused_over_it() {
        let (doors, peer, other) = (doors(10, 2), IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let inside: Vec<_> = (0..2).map(|_| doors.enter(peer)).collect();
        assert!(inside.iter().all(Option::is_some));
        assert!(doors.enter(peer).is_none());
        assert!(doors.enter(other).is_some());
        let (one, two): (IpAddr, IpAddr) = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
        assert_eq!(household(one), household(two));
        drop(inside);
        assert!(doors.enter(peer).is_some());
    }

    #[test]
    fn who_has_some_more_connections_than_another_that_accepts_leaves_the_next_to_it() {
        let (ledger, _) = Ledger::shared(Callers::ROWS, 2).unwrap();
        let workers = [0, 1].map(|worker| Doors::new(&Limits::default(), Proxies::default(), Callers::of(&ledger, worker, 0)));
        let mut inside = Vec::new();
        let mut more = |worker: usize, connections: usize| {
            let entered = (0..connections).map(|_| workers[worker].enter(IpAddr::from([192, 0, 2, 1])).unwrap());
            inside.extend(entered);
            workers[worker].is_ahead()
        };
        assert!(!more(0, 9), "there is no other");
        workers[1].listens(true);
        assert!(more(0, 0));
        assert!(!more(1, 7) && !more(0, 0), "7 and a quarter and 2 are 10");
        assert!(more(0, 1));
        workers[1].listens(false);
        assert!(!more(0, 0));
    }

    #[test]
    fn a_trusted_proxy_has_as_many_connections_as_there_are() {
        let proxies = Proxies { networks: vec!["192.0.2.0/24".parse().unwrap()], hops: 1, fields: Vec::new() };
        let limits = Limits { connections: 3, peer_connections: 1, ..Limits::default() };
        let (doors, proxy) = (Arc::new(Doors::new(&limits, proxies, Callers::alone())), IpAddr::from([192, 0, 2, 1]));
        let inside: Vec<_> = (0..3).map(|_| doors.enter(proxy)).collect();
        assert!(inside.iter().all(Option::is_some) && doors.enter(proxy).is_none());
    }

    #[test]
    fn all_connections_are_let_in_under_and_at_the_limit_and_refused_over_it() {
        let doors = doors(3, 3);
        let inside: Vec<_> = (1..=3).map(|last| doors.enter(IpAddr::from([192, 0, 2, last]))).collect();
        assert!(inside.iter().all(Option::is_some));
        assert!(doors.enter(IpAddr::from([192, 0, 2, 4])).is_none());
        drop(inside);
        assert_eq!(doors.callers.all().unwrap().level(Gauge::Connections), 0);
    }
}
