//! Which requests run: as many of a tenant as it may have at once, over all workers, and as many in a worker as it has places. The others
//! wait, so many and so long as their tenant may; then 503 with Retry-After.
//!
//! A place that becomes free goes to the tenant that had the least of them by its weight (a virtual time that each place moves on, as in
//! weighted fair queueing), and of a tenant's requests to the one that waits longest, in whichever worker that is.

use std::{
    cell::Cell,
    collections::{BTreeSet, HashMap, VecDeque},
    io,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    net::unix::pipe,
    sync::oneshot,
    time::{interval, timeout},
};

use crate::{
    fault::BusyFault,
    ledger::{Account, Counter, Gauge, monotonic_ns},
    limits::Limits,
};

/// What a place moves a tenant's virtual time on, at a weight of 1.
const STEP: u64 = 1 << 20;
/// How often those who wait look again, should two workers have wanted the same place at once.
const LOOK: Duration = Duration::from_millis(100);
/// How long a place is left to another worker that does not take it.
const YIELD_NS: u64 = 100_000_000;
/// Tenants whose virtual time is remembered though none of their requests waits.
const REMEMBERED: usize = 1_024;

/// By which workers tell each other that a place is free: an eventfd each. Empty for one who is alone.
#[derive(Debug, Default)]
pub struct Bells {
    /// One for each worker.
    pub all: Vec<OwnedFd>,
    /// Which is this worker's.
    pub own: usize,
}

impl Bells {
    fn ring(&self, worker: usize) {
        if let Some(bell) = self.all.get(worker)
            && let Err(error) = rustix::io::write(bell, &1_u64.to_ne_bytes())
        {
            // A bell that cannot be rung was rung too often to count; whoever waits looks again by himself.
            tracing::debug!("a bell was not rung: {error}");
        }
    }
}

/// A tenant, as its requests are let in.
#[derive(Debug)]
pub(super) struct Desk {
    account: Account,
    places: u64,
    queue: u64,
    patience: Duration,
    weight: u64,
}

impl Desk {
    pub(super) fn new(account: Account, limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            account,
            places: limits.concurrency,
            queue: limits.queue,
            patience: Duration::from_millis(limits.queue_wall_ms),
            weight: limits.weight.max(1),
        })
    }
}

/// The places of a worker, and who waits for them.
#[derive(Debug)]
pub(super) struct Admission {
    floor: Mutex<Floor>,
    bells: Bells,
}

#[derive(Debug)]
struct Floor {
    free: u64,
    stopped: bool,
    tenants: HashMap<usize, Line>,
    /// Those that wait, by virtual time.
    waiting: BTreeSet<(u64, usize)>,
    /// The virtual time of who was let in last.
    now: u64,
    tickets: u64,
}

#[derive(Debug, Default)]
struct Line {
    /// There while one waits.
    desk: Option<Arc<Desk>>,
    time: u64,
    queue: VecDeque<Waiter>,
    /// To whose request in another worker it has given way, and since when.
    yielded: Cell<(u64, u64)>,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    since: u64,
    admit: oneshot::Sender<Place>,
}

/// A request runs while this lives.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    desk: Arc<Desk>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.desk.account.give_back(Gauge::Running, 1);
        {
            let mut floor = self.admission.floor();
            floor.free += 1;
            if floor.free == 1 {
                floor.publish();
            }
        }
        for (worker, _) in self.desk.account.others(Gauge::Oldest) {
            self.admission.bells.ring(worker);
        }
        self.admission.let_in();
    }
}

impl Admission {
    pub(super) fn new(places: u64, bells: Bells) -> Arc<Self> {
        let floor = Floor { free: places, stopped: false, tenants: HashMap::new(), waiting: BTreeSet::new(), now: 0, tickets: 0 };
        Arc::new(Self { floor: Mutex::new(floor), bells })
    }

    /// A place, kept until the result is dropped.
    ///
    /// # Errors
    /// [`BusyFault`] when too many wait, or it took too long.
    pub(super) async fn enter(self: &Arc<Self>, desk: &Arc<Desk>) -> Result<Place, BusyFault> {
        let (ticket, mut admitted) = {
            let mut floor = self.floor();
            if floor.stopped {
                return Err(BusyFault::Stopping);
            }
            // Mostly nobody waits, and nobody has to.
            if floor.waiting.is_empty() && floor.free > 0 && self.is_free(desk, &Cell::default(), monotonic_ns()) {
                return Ok(self.place(&mut floor, desk));
            }
            floor.wait(desk)
        };
        // Those before it are looked at first; who waits for a place of its own tenant's keeps nobody else out.
        self.let_in();
        if let Ok(place) = admitted.try_recv() {
            return Ok(place);
        }
        if !desk.account.take(Gauge::Waiting, 1, desk.queue) {
            self.floor().leave(desk.account.row(), ticket);
            return Err(BusyFault::QueueFull);
        }
        let _leaving = Leaving { admission: self, desk, ticket, since: monotonic_ns() };
        match timeout(desk.patience, &mut admitted).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) => Err(BusyFault::Stopping),
            // It may have come at the last moment.
            Err(_) => admitted.try_recv().map_err(|_| BusyFault::QueueTimeout),
        }
    }

    /// No one is admitted any more.
    pub(super) fn stop(&self) {
        let lines = {
            let mut floor = self.floor();
            floor.stopped = true;
            floor.waiting.clear();
            std::mem::take(&mut floor.tenants)
        };
        drop(lines);
    }

    /// Looks again when another worker says that a place is free, and now and then.
    pub(super) async fn watch(self: &Arc<Self>) -> io::Result<()> {
        let mut ticks = interval(LOOK);
        let own = self.bells.all.get(self.bells.own).map(OwnedFd::try_clone).transpose()?;
        // An eventfd is read like a pipe.
        let bell = own.map(pipe::Receiver::from_owned_fd_unchecked).transpose()?;
        loop {
            let rung = async {
                match &bell {
                    Some(bell) => bell.readable().await.map(|()| drop(bell.try_read(&mut [0; 8]))),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                rung = rung => rung?,
                _ = ticks.tick() => {}
            }
            self.let_in();
        }
    }

    /// Lets in who can be.
    fn let_in(self: &Arc<Self>) {
        while let Some(refused) = self.let_one_in() {
            // It had gone at this moment; its place is the next one's. Without the lock, for it takes that.
            drop(refused);
        }
    }

    fn let_one_in(self: &Arc<Self>) -> Option<Place> {
        let mut floor = self.floor();
        while floor.free > 0 {
            let (row, desk) = floor.waiting.iter().find_map(|(_, row)| {
                let line = floor.tenants.get(row)?;
                let (first, desk) = (line.queue.front()?, line.desk.as_ref()?);
                self.is_free(desk, &line.yielded, first.since).then(|| (*row, Arc::clone(desk)))
            })?;
            let waiter = floor.tenants.get_mut(&row).and_then(|line| line.queue.pop_front());
            let place = self.place(&mut floor, &desk);
            floor.settle(row);
            if let Some(waiter) = waiter
                && let Err(place) = waiter.admit.send(place)
            {
                return Some(place);
            }
        }
        None
    }

    /// Takes one of the tenant's places, unless another worker has a request that waits for longer than `since`. That one is told; a worker
    /// that does nothing about it is busy with something else, and is not waited for.
    fn is_free(&self, desk: &Desk, yielded: &Cell<(u64, u64)>, since: u64) -> bool {
        let older = desk.account.others(Gauge::Oldest).filter(|(_, oldest)| *oldest < since).min_by_key(|(_, oldest)| *oldest);
        if let Some((worker, oldest)) = older {
            let (to, from) = yielded.get();
            let now = monotonic_ns();
            if to != oldest {
                yielded.set((oldest, now));
            }
            if to != oldest || now.saturating_sub(from) < YIELD_NS {
                if desk.account.level(Gauge::Running) < desk.places {
                    self.bells.ring(worker);
                }
                return false;
            }
        }
        desk.account.take(Gauge::Running, 1, desk.places)
    }

    /// A place that was taken of the tenant's, and now of the worker's.
    fn place(self: &Arc<Self>, floor: &mut Floor, desk: &Arc<Desk>) -> Place {
        floor.free -= 1;
        if floor.free == 0 {
            floor.publish();
        }
        let now = floor.now;
        let line = floor.line(desk.account.row());
        let began = line.time.max(now);
        line.time = began.saturating_add(STEP / desk.weight);
        floor.now = began;
        Place { admission: Arc::clone(self), desk: Arc::clone(desk) }
    }

    fn floor(&self) -> MutexGuard<'_, Floor> {
        self.floor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Floor {
    fn line(&mut self, row: usize) -> &mut Line {
        if self.tenants.len() > REMEMBERED {
            let now = self.now;
            self.tenants.retain(|_, line| !line.queue.is_empty() || line.time > now);
        }
        self.tenants.entry(row).or_default()
    }

    fn wait(&mut self, desk: &Arc<Desk>) -> (u64, oneshot::Receiver<Place>) {
        self.tickets += 1;
        let (ticket, now, row) = (self.tickets, self.now, desk.account.row());
        let (admit, admitted) = oneshot::channel();
        let line = self.line(row);
        // Its limits may have been changed.
        line.desk = Some(Arc::clone(desk));
        if line.queue.is_empty() {
            line.time = line.time.max(now);
        }
        line.queue.push_back(Waiter { ticket, since: monotonic_ns(), admit });
        self.settle(row);
        (ticket, admitted)
    }

    fn leave(&mut self, row: usize, ticket: u64) {
        if let Some(line) = self.tenants.get_mut(&row) {
            line.queue.retain(|waiter| waiter.ticket != ticket);
        }
        self.settle(row);
    }

    /// Puts a tenant where it belongs among those that wait, and tells the other workers since when it does.
    fn settle(&mut self, row: usize) {
        self.waiting.retain(|(_, waiting)| *waiting != row);
        let has_places = self.free > 0;
        let Some(line) = self.tenants.get_mut(&row) else { return };
        line.publish(has_places);
        if line.queue.is_empty() {
            // Who waits for nothing keeps nothing of its tenant.
            line.desk = None;
        } else {
            self.waiting.insert((line.time, row));
        }
    }

    /// The worker has its first free place, or none any more: others give way to those that wait here only where that helps them.
    fn publish(&self) {
        let waiting = self.waiting.iter().filter_map(|(_, row)| self.tenants.get(row));
        waiting.for_each(|line| line.publish(self.free > 0));
    }
}

impl Line {
    fn publish(&self, has_places: bool) {
        let oldest = self.queue.front().filter(|_| has_places).map_or(0, |first| first.since);
        if let Some(desk) = &self.desk {
            desk.account.set(Gauge::Oldest, oldest);
        }
    }
}

/// One that waits; dropped, it does no longer.
struct Leaving<'a> {
    admission: &'a Arc<Admission>,
    desk: &'a Arc<Desk>,
    ticket: u64,
    since: u64,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let account = &self.desk.account;
        account.give_back(Gauge::Waiting, 1);
        account.count(Counter::QueueNs, monotonic_ns().saturating_sub(self.since));
        self.admission.floor().leave(account.row(), self.ticket);
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::pin};

    use super::*;
    use crate::ledger::Ledger;

    fn limits() -> Limits {
        Limits { concurrency: 2, queue: 1, queue_wall_ms: 100, ..Limits::default() }
    }

    fn alone(places: u64) -> (Arc<Admission>, Arc<Desk>) {
        (Admission::new(places, Bells::default()), Desk::new(Account::alone(), &limits()))
    }

    #[tokio::test(start_paused = true)]
    async fn requests_run_under_and_at_the_concurrency_and_wait_over_it() {
        let (admission, desk) = alone(10);
        let first = admission.enter(&desk).await;
        let second = admission.enter(&desk).await;
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(admission.enter(&desk).await.map(drop), Err(BusyFault::QueueTimeout));
        drop(first);
        drop(admission.enter(&desk).await.unwrap());
        drop(second);
        assert_eq!([Gauge::Running, Gauge::Waiting, Gauge::Oldest].map(|gauge| desk.account.level(gauge)), [0, 0, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_is_bounded() {
        let (admission, desk) = alone(10);
        let _places = (admission.enter(&desk).await, admission.enter(&desk).await);
        // The first takes the one place in the queue before the second is looked at.
        let (waiting, refused) = tokio::join!(biased; admission.enter(&desk), admission.enter(&desk));
        assert_eq!((waiting.map(drop), refused.map(drop)), (Err(BusyFault::QueueTimeout), Err(BusyFault::QueueFull)));
    }

    #[tokio::test]
    async fn a_stop_refuses_those_who_wait() {
        let (admission, desk) = alone(10);
        let _places = (admission.enter(&desk).await, admission.enter(&desk).await);
        let (waiting, ()) = tokio::join!(biased; admission.enter(&desk), async { admission.stop() });
        assert_eq!(waiting.map(drop), Err(BusyFault::Stopping));
        assert_eq!(admission.enter(&desk).await.map(drop), Err(BusyFault::Stopping));
    }

    #[tokio::test]
    async fn a_place_of_the_worker_goes_to_the_tenant_that_had_the_least() {
        let ledger = Ledger::own(2);
        let desks = [0, 1].map(|row| {
            let limits = Limits { queue: 100, concurrency: 100, ..Limits::default() };
            Desk::new(ledger.account(row, 0).unwrap(), &limits)
        });
        let admission = Admission::new(1, Bells::default());
        let held = admission.enter(&desks[0]).await.unwrap();
        let order = Mutex::new(Vec::new());
        let waiting = |row: usize| {
            let (admission, desk, order) = (&admission, &desks[row], &order);
            async move {
                let place = admission.enter(desk).await.unwrap();
                order.lock().unwrap().push(row);
                tokio::task::yield_now().await;
                drop(place);
            }
        };
        // Four of the one came before the two of the other.
        tokio::join!(biased; waiting(0), waiting(0), waiting(0), waiting(0), waiting(1), waiting(1), async { drop(held) });
        assert_eq!(*order.lock().unwrap(), [1, 0, 1, 0, 0, 0]);
    }

    #[tokio::test]
    async fn a_place_that_is_free_in_one_worker_goes_to_who_waits_in_another() {
        let ledger = Ledger::shared(1, 2).unwrap().0;
        let bells = || (0..2).map(|_| rustix::event::eventfd(0, rustix::event::EventfdFlags::NONBLOCK).unwrap()).collect::<Vec<_>>();
        let all = bells();
        let second = all.iter().map(|bell| bell.try_clone().unwrap()).collect();
        let workers = [Admission::new(9, Bells { all, own: 0 }), Admission::new(9, Bells { all: second, own: 1 })];
        let desk = |worker| Desk::new(ledger.account(0, worker).unwrap(), &Limits { concurrency: 1, ..Limits::default() });
        let desks = [desk(0), desk(1)];
        let held = workers[0].enter(&desks[0]).await.unwrap();
        let mut waiting = pin!(workers[1].enter(&desks[1]));
        let mut watching = pin!(workers[1].watch());
        let still = std::future::poll_fn(|context| {
            let pending = waiting.as_mut().poll(context).is_pending() && watching.as_mut().poll(context).is_pending();
            std::task::Poll::Ready(pending)
        });
        assert!(still.await);
        drop(held);
        // Not even the one that is free comes before it.
        assert!(!workers[0].is_free(&desks[0], &Cell::default(), u64::MAX));
        let place = tokio::select! {
            place = waiting => place,
            watched = watching => panic!("{watched:?}"),
        };
        assert_eq!(place.map(drop), Ok(()));
    }

    fn two_workers(places: [u64; 2]) -> ([Arc<Admission>; 2], Arc<Ledger>) {
        (places.map(|places| Admission::new(places, Bells::default())), Ledger::shared(2, 2).unwrap().0)
    }

    fn desk(ledger: &Arc<Ledger>, row: usize, worker: usize, limits: &Limits) -> Arc<Desk> {
        Desk::new(ledger.account(row, worker).unwrap(), limits)
    }

    #[tokio::test]
    async fn a_worker_without_places_keeps_its_tenants_out_of_no_other_worker() {
        let ([full, other], ledger) = two_workers([1, 1]);
        let limits = Limits { concurrency: 4, ..Limits::default() };
        let desks = [desk(&ledger, 0, 0, &limits), desk(&ledger, 1, 0, &limits), desk(&ledger, 1, 1, &limits)];
        let held = full.enter(&desks[0]).await.unwrap();
        let mut waiting = pin!(full.enter(&desks[1]));
        let pending = std::future::poll_fn(|context| std::task::Poll::Ready(waiting.as_mut().poll(context).is_pending()));
        assert!(pending.await);
        let place = timeout(Duration::from_secs(1), other.enter(&desks[2])).await.unwrap();
        assert_eq!(place.map(drop), Ok(()));
        drop(held);
        assert_eq!(waiting.await.map(drop), Ok(()));
    }

    #[tokio::test]
    async fn who_waits_for_his_own_tenants_place_keeps_no_other_tenant_out() {
        let ([admission, _], ledger) = two_workers([9, 9]);
        let limits = Limits { concurrency: 1, queue: 0, ..Limits::default() };
        let patient = Limits { queue: 1, ..limits.clone() };
        let desks = [desk(&ledger, 0, 0, &patient), desk(&ledger, 1, 0, &limits)];
        let _held = admission.enter(&desks[0]).await.unwrap();
        let mut waiting = pin!(admission.enter(&desks[0]));
        let pending = std::future::poll_fn(|context| std::task::Poll::Ready(waiting.as_mut().poll(context).is_pending()));
        assert!(pending.await);
        let place = admission.enter(&desks[1]).await;
        assert!(matches!(admission.enter(&desks[1]).await, Err(BusyFault::QueueFull)));
        assert_eq!(place.map(drop), Ok(()));
    }
}
