//! The connections of a host, counted over all its workers: in all, and of each peer.
//!
//! Peers have no rows of their own, for there are more of them than rows: each falls into one of so many, by a hash that nobody outside can
//! compute. Two peers that share a row share its limit.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
    sync::Arc,
};

use super::{Account, Ledger};

/// Rows of peers.
const PEERS: usize = 1_024;

/// Where a worker counts its connections.
#[derive(Clone, Debug)]
pub struct Callers {
    ledger: Arc<Ledger>,
    worker: usize,
    first: usize,
    seed: u64,
}

impl Callers {
    /// How many rows they take, behind those of tenants and applications.
    pub const ROWS: usize = PEERS + 1;

    /// For one process that shares nothing.
    #[must_use]
    pub fn alone() -> Self {
        Self { ledger: Ledger::own(Self::ROWS), worker: 0, first: 0, seed: 0 }
    }

    /// In the last rows of `ledger`. The workers of a host have one `seed`, which nobody else knows.
    #[must_use]
    pub fn of(ledger: &Arc<Ledger>, worker: usize, seed: u64) -> Self {
        Self { ledger: Arc::clone(ledger), worker, first: ledger.rows().saturating_sub(Self::ROWS), seed }
    }

    /// All connections. `None` in a ledger that has no room for them.
    #[must_use]
    pub fn all(&self) -> Option<Account> {
        self.ledger.account(self.first, self.worker)
    }

    /// Those of a peer.
    #[must_use]
    pub fn of_peer(&self, peer: IpAddr) -> Option<Account> {
        let mut hasher = DefaultHasher::new();
        (self.seed, peer).hash(&mut hasher);
        let row = usize::try_from(hasher.finish() % 1_024).unwrap_or(0);
        self.ledger.account(self.first + 1 + row, self.worker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Gauge;

    #[test]
    fn workers_count_a_peers_connections_together() {
        let (ledger, file) = Ledger::shared(4 + Callers::ROWS, 2).unwrap();
        let other = Ledger::open(&file, 4 + Callers::ROWS, 2).unwrap();
        let (one, two) = (Callers::of(&ledger, 0, 7), Callers::of(&other, 1, 7));
        let peer = IpAddr::from([192, 0, 2, 1]);
        assert!(one.of_peer(peer).unwrap().take(Gauge::Connections, 1, 2));
        assert!(two.of_peer(peer).unwrap().take(Gauge::Connections, 1, 2));
        assert!(!one.of_peer(peer).unwrap().take(Gauge::Connections, 1, 2));
        assert_eq!((ledger.level(4, Gauge::Connections), two.all().unwrap().row()), (0, 4));
        ledger.clear_worker(1);
        assert!(one.of_peer(peer).unwrap().take(Gauge::Connections, 1, 2));
    }
}
