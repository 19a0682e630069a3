//! A clock that a test may turn: the machine's until then.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use iothub_admin::{HubRefusal, Turn};
use iothub_core::limits;
use iothub_core::time::{Clock, Sleep, Timestamp};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use super::{LONGEST_SLEEP, SystemClock};

/// How long turning the clock waits for one who wakes; whoever takes longer is not waited for.
const WAKING: Duration = Duration::from_secs(1);
/// How long what a deadline lets happen may take until it shows, at least: on a machine that is busy
/// it takes longer, as waking does.
const SETTLING: Duration = Duration::from_millis(2);

/// The clock of one hub.
#[derive(Debug, Default)]
pub(crate) struct TurnedClock {
    /// What is added to the machine's time, in ticks.
    ahead: AtomicI64,
    /// The time that it shows while it stands still, in ticks; zero while it runs.
    frozen: AtomicU64,
    turned: watch::Sender<()>,
    sleepers: Mutex<Sleepers>,
    /// A sleeper is no more.
    gone: Notify,
    /// Turns are made one after another.
    turning: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Sleepers {
    /// Who waits for what, and the number that tells two with one deadline apart.
    deadlines: BTreeSet<(Timestamp, u64)>,
    /// The same for what comes again and again, where a turn does not stop.
    ticks: BTreeSet<(Timestamp, u64)>,
    last: u64,
}

/// That somebody sleeps; dropped when that is over.
struct Sleeper<'a> {
    clock: &'a TurnedClock,
    key: (Timestamp, u64),
    pick: Pick,
}

/// Which of the two a sleeper is in.
type Pick = fn(&mut Sleepers) -> &mut BTreeSet<(Timestamp, u64)>;

impl TurnedClock {
    /// Whether it stands still.
    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::SeqCst) != 0
    }

    /// Stops it, or lets it run on from what it shows.
    fn freeze(&self, frozen: bool) {
        let now = self.now();
        if frozen {
            self.frozen.store(now.ticks().max(1), Ordering::SeqCst);
        } else {
            self.show(now);
            self.frozen.store(0, Ordering::SeqCst);
        }
        self.turned.send_replace(());
    }

    /// Stops it or lets it go, then moves it on. Whoever turns it meanwhile waits, so that two who
    /// advance it have both advanced it in the end.
    pub(crate) async fn turn(&self, turn: Turn) -> Result<(), HubRefusal> {
        let _turn = self.turning.lock().await;
        let now = self.now();
        if let Some(wanted) = turn.set.filter(|wanted| *wanted < now) {
            return Err(HubRefusal::Back { now, wanted });
        }
        let target = turn.set.unwrap_or(now).after(turn.advance);
        let latest = Timestamp::from_ticks(limits::LATEST_CLOCK);
        if target > latest {
            return Err(HubRefusal::TooLate { wanted: target, latest });
        }
        if let Some(frozen) = turn.frozen {
            self.freeze(frozen);
        }
        self.turn_to(target).await;
        Ok(())
    }

    /// Moves it on to `target`, stopping at everything that is due on the way, in order, until that
    /// has happened.
    async fn turn_to(&self, target: Timestamp) {
        for _ in 0..limits::CLOCK_STOPS {
            let Some(next) = self.next_stop(target) else { return self.move_to(target).await };
            self.move_to(next).await;
        }
        self.stride_to(target).await;
    }

    /// The same in strides. What is due within one happens at its end: some of it sets its next
    /// deadline as soon as one is over, so that there may be more of them than can be waited for.
    async fn stride_to(&self, target: Timestamp) {
        let stride = target.since(self.now()) / limits::CLOCK_STRIDES;
        warn!(%target, ?stride, "the clock stopped {} times on its way and goes on in strides", limits::CLOCK_STOPS);
        for _ in 0..limits::CLOCK_STRIDES {
            let Some(next) = self.next_stop(target) else { break };
            let end = self.now().after(stride).min(target);
            self.move_to(next.max(end)).await;
        }
        self.move_to(target).await;
    }

    async fn move_to(&self, time: Timestamp) {
        if time > self.now() {
            self.show(time);
        }
        self.turned.send_replace(());
        let waking = async {
            loop {
                let gone = self.gone.notified();
                if !self.sleepers().is_due(self.now()) {
                    return;
                }
                gone.await;
            }
        };
        let begun = Instant::now();
        drop(timeout(WAKING, waking).await);
        sleep(SETTLING.max(begun.elapsed() * 2)).await;
    }

    fn show(&self, time: Timestamp) {
        if self.is_frozen() {
            self.frozen.store(time.ticks(), Ordering::SeqCst);
        }
        let machine = i64::try_from(SystemClock.now().ticks()).unwrap_or(i64::MAX);
        let wanted = i64::try_from(time.ticks()).unwrap_or(i64::MAX);
        self.ahead.store(wanted - machine, Ordering::SeqCst);
    }

    /// What is due first, if that is not after `target`.
    fn next_stop(&self, target: Timestamp) -> Option<Timestamp> {
        let first = self.sleepers().deadlines.first().map(|(deadline, _)| *deadline);
        first.filter(|deadline| *deadline <= target)
    }

    fn sleepers(&self) -> MutexGuard<'_, Sleepers> {
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, deadline: Timestamp, pick: Pick) -> Sleeper<'_> {
        let mut sleepers = self.sleepers();
        sleepers.last += 1;
        let key = (deadline, sleepers.last);
        pick(&mut sleepers).insert(key);
        Sleeper { clock: self, key, pick }
    }

    fn sleep(&self, deadline: Timestamp, pick: Pick) -> Sleep<'_> {
        Box::pin(async move {
            if self.now() >= deadline {
                return;
            }
            let mut turned = self.turned.subscribe();
            let _sleeper = self.enter(deadline, pick);
            loop {
                turned.borrow_and_update();
                let left = deadline.since(self.now());
                if left.is_zero() {
                    return;
                }
                if self.is_frozen() {
                    if turned.changed().await.is_err() {
                        return;
                    }
                } else {
                    drop(timeout(left.min(LONGEST_SLEEP), turned.changed()).await);
                }
            }
        })
    }
}

impl Sleepers {
    /// Whether somebody has yet to notice what time it is.
    fn is_due(&self, now: Timestamp) -> bool {
        let first = self.deadlines.first().into_iter().chain(self.ticks.first());
        first.map(|(deadline, _)| *deadline).min().is_some_and(|deadline| deadline <= now)
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        (self.pick)(&mut self.clock.sleepers()).remove(&self.key);
        self.clock.gone.notify_waiters();
    }
}

impl Clock for TurnedClock {
    fn now(&self) -> Timestamp {
        let frozen = self.frozen.load(Ordering::SeqCst);
        if frozen != 0 {
            return Timestamp::from_ticks(frozen);
        }
        let ahead = self.ahead.load(Ordering::SeqCst);
        Timestamp::from_ticks(SystemClock.now().ticks().saturating_add_signed(ahead))
    }

    fn sleep_until(&self, deadline: Timestamp) -> Sleep<'_> {
        self.sleep(deadline, |sleepers| &mut sleepers.deadlines)
    }

    fn tick_at(&self, deadline: Timestamp) -> Sleep<'_> {
        self.sleep(deadline, |sleepers| &mut sleepers.ticks)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn whoever_is_due_wakes_in_order() {
        let clock = Arc::new(TurnedClock::default());
        let start = clock.now();
        let (sender, mut woken) = tokio::sync::mpsc::unbounded_channel();
        for hours in [3, 1, 2, 9] {
            let (clock, sender) = (Arc::clone(&clock), sender.clone());
            tokio::spawn(async move {
                clock.sleep_until(start.after(HOUR * hours)).await;
                sender.send((hours, clock.now().since(start).as_secs() / 3600)).unwrap();
            });
        }
        tokio::task::yield_now().await;
        clock.turn_to(start.after(HOUR * 5)).await;
        for hours in [1, 2, 3] {
            assert_eq!(woken.try_recv(), Ok((hours, u64::from(hours))));
        }
        assert!(woken.try_recv().is_err());
        assert_eq!(clock.now().since(start).as_secs() / 3600, 5);
    }

    #[tokio::test]
    async fn a_frozen_clock_stands_until_it_is_turned_and_runs_on_from_there() {
        let clock = TurnedClock::default();
        clock.freeze(true);
        let start = clock.now();
        let sleeping = timeout(
            Duration::from_millis(30),
            clock.sleep_until(start.after(Duration::from_millis(1))),
        );
        assert!(sleeping.await.is_err());
        assert_eq!(clock.now(), start);
        clock.turn_to(start.after(HOUR)).await;
        assert_eq!(clock.now(), start.after(HOUR));
        clock.freeze(false);
        let ahead = clock.now().since(SystemClock.now());
        assert!(HOUR - ahead < Duration::from_secs(60), "{ahead:?}");
    }

    #[tokio::test]
    async fn what_ticks_is_woken_at_the_end_and_not_stopped_at() {
        let clock = Arc::new(TurnedClock::default());
        let start = clock.now();
        let ticker = Arc::clone(&clock);
        let (sender, mut ticks) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                ticker.tick_at(ticker.now().after(Duration::from_secs(30))).await;
                sender.send(()).unwrap();
            }
        });
        tokio::task::yield_now().await;
        clock.turn_to(start.after(HOUR * 24 * 36)).await;
        assert_eq!(ticks.try_recv(), Ok(()));
        assert!(ticks.try_recv().is_err());
    }

    #[tokio::test]
    async fn two_who_advance_it_at_once_have_both_advanced_it() {
        let clock = TurnedClock::default();
        clock.turn(Turn { frozen: Some(true), ..Turn::default() }).await.unwrap();
        let start = clock.now();
        let advance = || clock.turn(Turn { advance: HOUR, ..Turn::default() });
        let (one, other) = tokio::join!(advance(), advance());
        assert_eq!((one, other), (Ok(()), Ok(())));
        assert_eq!(clock.now(), start.after(HOUR * 2));
        let back = clock.turn(Turn { set: Some(start), ..Turn::default() }).await;
        assert_eq!(back, Err(HubRefusal::Back { now: clock.now(), wanted: start }));
    }

    #[tokio::test]
    async fn a_clock_that_nobody_turns_is_the_machine_s() {
        let clock = TurnedClock::default();
        let deadline = SystemClock.now().after(Duration::from_millis(20));
        clock.sleep_until(deadline).await;
        assert!(SystemClock.now() >= deadline);
        assert!(clock.sleepers().deadlines.is_empty());
    }

    #[tokio::test]
    async fn what_is_due_again_and_again_neither_holds_the_turn_nor_upsets_the_order() {
        let clock = Arc::new(TurnedClock::default());
        clock.freeze(true);
        let start = clock.now();
        let ticker = Arc::clone(&clock);
        let task = tokio::spawn(async move {
            loop {
                ticker.sleep_until(ticker.now().after(Duration::from_secs(1))).await;
            }
        });
        let (sender, mut woken) = tokio::sync::mpsc::unbounded_channel();
        for hours in [9, 3, 7, 5] {
            let (clock, sender) = (Arc::clone(&clock), sender.clone());
            tokio::spawn(async move {
                clock.sleep_until(start.after(HOUR * hours)).await;
                sender.send((hours, clock.now().since(start))).unwrap();
            });
        }
        tokio::task::yield_now().await;
        clock.turn_to(start.after(HOUR * 10)).await;
        assert_eq!(clock.now(), start.after(HOUR * 10));
        for hours in [3, 5, 7, 9] {
            let (first, at) = woken.try_recv().unwrap();
            assert_eq!(first, hours);
            let late = at - HOUR * hours;
            assert!(late <= HOUR * 10 / limits::CLOCK_STRIDES, "{hours} h: {late:?} late");
        }
        task.abort();
    }
}
