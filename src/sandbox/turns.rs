//! Whose turn it is to compute. One thread runs all guests of a worker, a piece at a time; between two pieces, this decides.
//!
//! Each tenant has a virtual time, which its CPU time moves on, the slower the more weight it has; of those that want to compute, the one
//! that is furthest behind is next (weighted fair queueing). Who was away begins at the others' time: nobody saves up. A piece ends
//! where the guest waits, or at the ticker's next tick. Between two contended pieces the thread looks at its sockets and timers.
//!
//! Of one tenant's requests, one that has begun goes on before another begins, as long as it is short: few instances are needed then, and
//! what they have in the processor's caches is used. A long one waits behind the others at each tick.
//!
//! A tenant that has used up its share of the machine rests until the next tenth of a second.

use std::{
    collections::{HashMap, VecDeque},
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::{Sleep, sleep};

use crate::ledger::{Account, Counter, Rate, monotonic_ns};

/// CPU time that may be used between two looks at the sockets, in nanoseconds, before who comes has to wait for the next.
const PASS_NS: u64 = 1_000_000;
/// Tenants whose time is remembered though they do not compute; above that, those that are not ahead are forgotten.
const REMEMBERED: usize = 256;
/// CPU time of a call's exchange from which on it is long, and goes behind its tenant's other requests at each tick.
const SHORT: Duration = Duration::from_millis(10);
/// The weight at which virtual time is CPU time.
const WEIGHT: u64 = 100;
/// A share that is no limit.
const ALL: u64 = 100_000;

/// The order of a worker's guests.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<Line>);

#[derive(Debug, Default)]
struct Line {
    tenants: HashMap<usize, Tenant>,
    waiting: usize,
    call: Call,
    /// The virtual time of the one that computed last: where newcomers begin.
    now: u64,
    /// CPU time since the last look at the sockets that is known of.
    since_pass: u64,
    tickets: u64,
}

/// Who is next, while somebody waits.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Call {
    /// Nobody has been asked yet.
    #[default]
    Nobody,
    /// The one with this ticket, still in its queue, will choose, once all that want to compute have had the time to say so: the sockets are
    /// looked at twice before, for who has just computed comes back behind the first look.
    Gathering { ticket: u64, looked: bool },
    /// This one has left its queue, and computes next.
    Chosen(u64),
}

#[derive(Debug, Default)]
struct Tenant {
    time: u64,
    queue: Queue,
    /// Until when it pays for a piece that was longer than its share of a window, by the monotonic clock.
    pays_until: u64,
}

/// Who of a tenant waits, by ticket.
#[derive(Debug, Default)]
struct Queue {
    /// Those that have begun, and are short.
    begun: VecDeque<(u64, Waker)>,
    /// The others, behind them.
    others: VecDeque<(u64, Waker)>,
}

impl Queue {
    fn len(&self) -> usize {
        self.begun.len() + self.others.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn first(&self) -> Option<&(u64, Waker)> {
        self.begun.front().or_else(|| self.others.front())
    }

    /// Whether one that comes now would be the first.
    fn would_be_first(&self, has_begun: bool) -> bool {
        if has_begun { self.begun.is_empty() } else { self.is_empty() }
    }

    fn take_first(&mut self) -> Option<(u64, Waker)> {
        self.begun.pop_front().or_else(|| self.others.pop_front())
    }

    fn waker(&mut self, ticket: u64) -> Option<&mut Waker> {
        self.begun.iter_mut().chain(&mut self.others).find(|(waiting, _)| *waiting == ticket).map(|(_, waker)| waker)
    }

    fn remove(&mut self, ticket: u64) {
        self.begun.retain(|(waiting, _)| *waiting != ticket);
        self.others.retain(|(waiting, _)| *waiting != ticket);
    }
}

impl Turns {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// The waiting tenant that is furthest behind.
    fn next(&self) -> Option<(u64, usize)> {
        if self.waiting == 0 {
            return None;
        }
        self.tenants.iter().filter(|(_, tenant)| !tenant.queue.is_empty()).map(|(row, tenant)| (tenant.time, *row)).min()
    }

    /// Calls the next, unless one is called: at once while it is not time to look at the sockets, and by way of one of those that wait otherwise.
    fn call(&mut self) {
        if self.call != Call::Nobody {
            return;
        }
        let Some((_, row)) = self.next() else { return };
        if self.since_pass < PASS_NS {
            if let Some((ticket, waker)) = self.choose(row) {
                self.call = Call::Chosen(ticket);
                waker.wake();
            }
        } else if let Some((ticket, waker)) = self.tenants.get(&row).and_then(|tenant| tenant.queue.first()) {
            self.call = Call::Gathering { ticket: *ticket, looked: false };
            after_sockets(waker);
        }
    }

    /// Takes a tenant's first out of its queue.
    fn choose(&mut self, row: usize) -> Option<(u64, Waker)> {
        let chosen = self.tenants.get_mut(&row)?.queue.take_first()?;
        self.waiting -= 1;
        Some(chosen)
    }

    /// Whether the one with `ticket` computes now, which waits, and has been woken.
    fn is_next(&mut self, ticket: u64, waker: &Waker) -> bool {
        match self.call {
            Call::Chosen(chosen) => chosen == ticket,
            Call::Gathering { ticket: gatherer, looked: false } if gatherer == ticket => {
                self.call = Call::Gathering { ticket, looked: true };
                self.since_pass = 0;
                after_sockets(waker);
                false
            }
            Call::Gathering { ticket: gatherer, looked: true } if gatherer == ticket => {
                let Some((_, row)) = self.next() else { return false };
                let Some((chosen, waker)) = self.choose(row) else { return false };
                self.call = Call::Chosen(chosen);
                if chosen != ticket {
                    waker.wake();
                }
                chosen == ticket
            }
            Call::Gathering { .. } | Call::Nobody => false,
        }
    }

    fn leave(&mut self, row: usize, ticket: u64) {
        if let Some(tenant) = self.tenants.get_mut(&row) {
            let before = tenant.queue.len();
            tenant.queue.remove(ticket);
            self.waiting -= before - tenant.queue.len();
        }
        let was = match self.call {
            Call::Chosen(called) | Call::Gathering { ticket: called, .. } => called == ticket,
            Call::Nobody => false,
        };
        if was {
            self.call = Call::Nobody;
            self.call();
        }
    }

    fn forget(&mut self) {
        if self.tenants.len() > REMEMBERED {
            let (now, clock) = (self.now, monotonic_ns());
            self.tenants.retain(|_, tenant| tenant.time > now || tenant.pays_until > clock || !tenant.queue.is_empty());
        }
    }
}

/// Wakes a task when the sockets and timers have been looked at: what tokio's own yield does for the task that yields.
fn after_sockets(waker: &Waker) {
    let yielding = pin!(tokio::task::yield_now());
    // Outside of a runtime, as in a test, it is woken at once.
    if yielding.poll(&mut Context::from_waker(waker)).is_ready() {
        waker.wake_by_ref();
    }
}

/// One call into a guest, in the order of the others.
pub(super) struct Seat<'a> {
    turns: &'a Turns,
    account: &'a Account,
    usage: &'a Account,
    weight: u64,
    share: u64,
    has_begun: bool,
    ticket: Option<u64>,
    rest: Option<Pin<Box<Sleep>>>,
}

impl<'a> Seat<'a> {
    /// For a tenant's call; `usage` is its application's.
    pub(super) fn new(turns: &'a Turns, account: &'a Account, usage: &'a Account, weight: u64, share: u64) -> Self {
        Self { turns, account, usage, weight: weight.max(1), share, has_begun: true, ticket: None, rest: None }
    }

    /// What is called has used so much in its exchange.
    pub(super) fn has_used(&mut self, cpu: Duration) {
        self.has_begun = cpu < SHORT;
    }

    /// Waits, for a request that has not begun, until it may compute.
    pub(super) async fn wait(mut self) {
        self.has_begun = false;
        poll_fn(|context| if self.is_next(context) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Whether it may compute now; if not, it is woken when it may.
    pub(super) fn is_next(&mut self, context: &mut Context<'_>) -> bool {
        if self.rests(context) {
            self.leave();
            return false;
        }
        let row = self.account.row();
        let mut line = self.turns.line();
        if let Some(ticket) = self.ticket {
            if let Some(waker) = line.tenants.get_mut(&row).and_then(|tenant| tenant.queue.waker(ticket)) {
                waker.clone_from(context.waker());
            }
            return line.is_next(ticket, context.waker());
        }
        let now = line.now;
        let tenant = line.tenants.entry(row).or_default();
        if tenant.queue.is_empty() {
            tenant.time = tenant.time.max(now);
        }
        let (time, is_first) = (tenant.time, tenant.queue.would_be_first(self.has_begun));
        let gathers = matches!(line.call, Call::Gathering { .. });
        if is_first && !gathers && line.since_pass < PASS_NS && line.next().is_none_or(|(least, of)| of == row || time <= least) {
            return true;
        }
        line.tickets += 1;
        let ticket = line.tickets;
        self.ticket = Some(ticket);
        let queue = &mut line.tenants.entry(row).or_default().queue;
        let own = if self.has_begun { &mut queue.begun } else { &mut queue.others };
        own.push_back((ticket, context.waker().clone()));
        line.waiting += 1;
        line.call();
        false
    }

    /// It has computed for so long.
    pub(super) fn computed(&mut self, ns: u64) {
        self.usage.count(Counter::CpuNs, ns);
        self.account.count(Counter::CpuNs, ns);
        if self.share < ALL {
            self.account.spend(Rate::Cpu, ns.div_ceil(1_000));
        }
        let mut line = self.turns.line();
        line.since_pass = line.since_pass.saturating_add(ns);
        let tenant = line.tenants.entry(self.account.row()).or_default();
        let began = tenant.time;
        tenant.time = began.saturating_add(ns.saturating_mul(WEIGHT) / self.weight);
        // What one piece takes beyond a window's share, no later window would know of.
        let pays = ns.saturating_mul(100).checked_div(self.share).unwrap_or(0).saturating_sub(Rate::Cpu.window_ns());
        if self.share < ALL && pays > 0 {
            tenant.pays_until = monotonic_ns().saturating_add(pays);
        }
        line.now = line.now.max(began);
        if let Some(ticket) = self.ticket.take()
            && line.call == Call::Chosen(ticket)
        {
            line.call = Call::Nobody;
        }
        line.call();
        line.forget();
    }

    /// Whether its tenant has used up its share of this tenth of a second.
    fn rests(&mut self, context: &mut Context<'_>) -> bool {
        if self.share >= ALL {
            return false;
        }
        let debt = || {
            let pays_until = self.turns.line().tenants.get(&self.account.row()).map_or(0, |tenant| tenant.pays_until);
            pays_until.saturating_sub(monotonic_ns())
        };
        // A share of 100 % is 100 000 µs of each 100 ms.
        while debt() > 0 || self.account.used(Rate::Cpu) >= self.share.saturating_mul(1_000) {
            let rest = self.rest.get_or_insert_with(|| Box::pin(sleep(Duration::from_nanos(Rate::Cpu.left_ns().max(debt())))));
            match rest.as_mut().poll(context) {
                Poll::Ready(()) => self.rest = None,
                Poll::Pending => return true,
            }
        }
        self.rest = None;
        false
    }

    fn leave(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.turns.line().leave(self.account.row(), ticket);
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ledger::Ledger;

    struct Guests {
        turns: Turns,
        accounts: Vec<Account>,
    }

    impl Guests {
        fn new() -> Self {
            let ledger: Arc<Ledger> = Ledger::own(3);
            Self { turns: Turns::default(), accounts: (0..3).map(|row| ledger.account(row, 0).unwrap()).collect() }
        }

        fn seat(&self, row: usize, weight: u64) -> Seat<'_> {
            let account = self.accounts.get(row).unwrap();
            Seat::new(&self.turns, account, account, weight, ALL)
        }
    }

    fn is_next(seat: &mut Seat<'_>) -> bool {
        seat.is_next(&mut Context::from_waker(Waker::noop()))
    }

    /// Has all of them compute, a piece of 2 ms at a time, for `pieces`; how many each got.
    fn compute(seats: &mut [Seat<'_>], pieces: usize) -> Vec<usize> {
        let mut got = vec![0; seats.len()];
        while got.iter().sum::<usize>() < pieces {
            for (seat, got) in seats.iter_mut().zip(&mut got) {
                if is_next(seat) {
                    *got += 1;
                    seat.computed(2_000_000);
                }
            }
        }
        got
    }

    #[test]
    fn a_tenant_with_many_guests_gets_no_more_than_one_with_one() {
        let guests = Guests::new();
        let mut seats: Vec<_> = [0, 0, 0, 0, 0, 0, 0, 1].into_iter().map(|row| guests.seat(row, 100)).collect();
        let got = compute(&mut seats, 400);
        assert!((195..=205).contains(&got[7]), "{got:?}");
    }

    #[test]
    fn who_has_twice_the_weight_gets_twice_as_much() {
        let guests = Guests::new();
        let mut seats = [guests.seat(0, 100), guests.seat(1, 200)];
        let got = compute(&mut seats, 300);
        assert!((195..=205).contains(&got[1]), "{got:?}");
    }

    #[test]
    fn who_comes_while_others_compute_is_next_and_has_saved_up_nothing() {
        let guests = Guests::new();
        let mut busy = [guests.seat(0, 100), guests.seat(0, 100)];
        compute(&mut busy, 100);
        let mut quick = guests.seat(1, 100);
        let mut waited = 0;
        while !is_next(&mut quick) {
            for seat in &mut busy {
                if is_next(seat) {
                    waited += 1;
                    seat.computed(2_000_000);
                }
            }
        }
        assert!(waited <= 1, "{waited}");
        quick.computed(2_000_000);
        let [first, second] = busy;
        let got = compute(&mut [first, second, quick], 100);
        assert!((45..=55).contains(&got[2]), "{got:?}");
    }

    #[test]
    fn a_request_that_has_begun_goes_on_before_another_of_its_tenants_begins_until_it_is_long() {
        let guests = Guests::new();
        let (mut begun, mut new) = (guests.seat(0, 100), guests.seat(0, 100));
        new.has_begun = false;
        let mut pieces = 0;
        let mut compute = |begun: &mut Seat<'_>| {
            if is_next(begun) {
                pieces += 1;
                begun.computed(2_000_000);
                begun.has_used(Duration::from_millis(2 * pieces));
            }
        };
        compute(&mut begun);
        while !is_next(&mut new) {
            compute(&mut begun);
        }
        assert_eq!(pieces, 5, "10 ms");
    }

    #[test]
    fn of_one_tenants_requests_who_comes_later_begins_later() {
        let guests = Guests::new();
        let mut first = guests.seat(0, 100);
        assert!(is_next(&mut first));
        first.computed(2_000_000);
        let [mut early, mut late] = [0, 0].map(|row| guests.seat(row, 100));
        (early.has_begun, late.has_begun) = (false, false);
        assert!(!is_next(&mut early));
        // There is time before the next look at the sockets, and yet.
        guests.turns.line().since_pass = 0;
        assert!(!is_next(&mut late));
        let mut order = Vec::new();
        while order.len() < 2 {
            for (number, seat) in [&mut late, &mut early].into_iter().enumerate() {
                if !order.contains(&number) && is_next(seat) {
                    order.push(number);
                    seat.computed(100);
                }
            }
        }
        assert_eq!(order, [1, 0]);
    }

    #[test]
    fn one_that_is_called_and_leaves_calls_the_next() {
        let guests = Guests::new();
        let mut first = guests.seat(0, 100);
        assert!(is_next(&mut first));
        first.computed(2_000_000);
        let (mut called, mut next) = (guests.seat(1, 100), guests.seat(2, 100));
        assert!(!is_next(&mut called) && !is_next(&mut next) && !is_next(&mut called));
        drop(called);
        assert!(is_next(&mut next));
    }

    #[test]
    fn a_piece_that_is_longer_than_a_windows_share_is_paid_for_in_those_behind_it() {
        let guests = Guests::new();
        let account = guests.accounts.first().unwrap();
        let pays_until = |ns| {
            let mut seat = Seat::new(&guests.turns, account, account, 100, 10);
            seat.computed(ns);
            guests.turns.line().tenants.get(&0).map_or(0, |tenant| tenant.pays_until)
        };
        assert_eq!(pays_until(10_000_000), 0, "a tenth of a tenth of a second");
        // 30 ms at a tenth are three windows, of which the first is its own.
        let (before, until) = (monotonic_ns(), pays_until(30_000_000));
        assert!((before + 200_000_000..before + 300_000_000).contains(&until));
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenant_rests_when_its_share_is_used_up() {
        let guests = Guests::new();
        let account = guests.accounts.first().unwrap();
        let mut seat = Seat::new(&guests.turns, account, account, 100, 10);
        let mut pieces = 0;
        // The windows are real time's: should one end in between, a further piece fits.
        while (0..3).any(|_| is_next(&mut seat)) && pieces < 50 {
            seat.computed(5_000_000);
            pieces += 1;
        }
        assert!((2..50).contains(&pieces), "{pieces} pieces of 5 ms in a share of 10 ms");
    }
}
