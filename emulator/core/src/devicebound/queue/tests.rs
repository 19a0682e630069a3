use std::time::Duration;

use proptest::prelude::*;

use super::*;

const START: Timestamp = Timestamp::NEVER;
const LOCK: u64 = 60;
const LIFE: u64 = 3600;
const DEPTH: usize = 5;
const MAX_DELIVERIES: u32 = 3;

fn at(seconds: u64) -> Timestamp {
    START.after(Duration::from_secs(seconds))
}

fn token(number: u8) -> LockToken {
    LockToken::new([number; 16])
}

fn receiver(number: u8, now: u64, connection: Option<u64>) -> Receiver {
    Receiver {
        token: token(number),
        until: at(now + LOCK),
        holder: connection.map(ConnectionId::of),
        keeps: true,
    }
}

/// One that settles locks and does not acknowledge messages.
fn settling(receiver: Receiver) -> Receiver {
    Receiver { keeps: false, ..receiver }
}

/// A queue of these, none of which ends before [`LIFE`].
fn queue(items: &[u32]) -> Queue<u32> {
    let mut queue = Queue::new(DEPTH, MAX_DELIVERIES);
    for item in items {
        queue.push(*item, at(LIFE)).unwrap();
    }
    queue
}

fn received(queue: &mut Queue<u32>, receiver: Receiver) -> Option<u32> {
    queue.receive(receiver).map(|received| *received.item)
}

fn completed(item: u32) -> Settled<u32> {
    Settled::Completed(Completed(Arc::new(item)))
}

fn dead(item: u32, reason: Reason) -> Settled<u32> {
    Settled::DeadLettered(DeadLettered(Arc::new(item), reason))
}

#[test]
fn first_in_first_out_up_to_the_bound() {
    let mut queue = queue(&[1, 2, 3, 4, 5]);
    assert_eq!(queue.push(6, at(LIFE)), Err(Full));
    // What is locked still counts.
    assert_eq!(received(&mut queue, receiver(1, 0, None)), Some(1));
    assert_eq!(queue.push(6, at(LIFE)), Err(Full));
    assert_eq!(queue.settle(token(1), Settlement::Complete), Ok(Some(completed(1))));
    assert_eq!(queue.push(6, at(LIFE)), Ok(()));
    for (number, item) in (2..=6).enumerate() {
        let number = u8::try_from(number).unwrap() + 2;
        assert_eq!(received(&mut queue, receiver(number, 0, None)), Some(item));
    }
    assert_eq!(received(&mut queue, receiver(9, 0, None)), None);
}

#[test]
fn a_token_settles_once() {
    for settlement in [Settlement::Complete, Settlement::Reject, Settlement::Abandon] {
        let mut queue = queue(&[1]);
        assert_eq!(queue.settle(token(1), settlement), Err(LockLost), "{settlement:?}");
        queue.receive(receiver(1, 0, None)).unwrap();
        assert!(queue.settle(token(1), settlement).is_ok(), "{settlement:?}");
        assert_eq!(queue.settle(token(1), settlement), Err(LockLost), "{settlement:?}");
    }
}

#[test]
fn what_is_rejected_is_dead() {
    let mut queue = queue(&[1]);
    queue.receive(receiver(1, 0, None)).unwrap();
    let settled = queue.settle(token(1), Settlement::Reject);
    assert_eq!(settled, Ok(Some(dead(1, Reason::Rejected))));
    assert_eq!(queue.len(), 0);
}

#[test]
fn what_is_abandoned_comes_back_to_its_place_until_that_was_too_often() {
    let mut queue = queue(&[1, 2]);
    for count in 0..MAX_DELIVERIES {
        let first = queue.receive(receiver(1, 0, None)).unwrap();
        assert_eq!((*first.item, first.delivery_count), (1, count));
        assert_eq!(first.redelivered, count > 0);
        let settled = queue.settle(token(1), Settlement::Abandon).unwrap();
        let expected =
            (count + 1 == MAX_DELIVERIES).then(|| dead(1, Reason::DeliveryCountExceeded));
        assert_eq!(settled, expected);
    }
    assert_eq!(received(&mut queue, receiver(1, 0, None)), Some(2));
}

#[test]
fn a_lock_ends_without_counting() {
    let mut queue = queue(&[1]);
    queue.receive(receiver(1, 0, None)).unwrap();
    assert_eq!(queue.next_deadline(), Some(at(LOCK)));
    assert!(queue.elapse(at(LOCK - 1)).is_empty());
    assert_eq!(received(&mut queue, receiver(2, LOCK - 1, None)), None);
    assert!(queue.elapse(at(LOCK)).is_empty());
    assert_eq!(queue.settle(token(1), Settlement::Complete), Err(LockLost));
    let again = queue.receive(receiver(2, LOCK, None)).unwrap();
    assert_eq!((again.delivery_count, again.redelivered), (0, true));
}

#[test]
fn what_waits_expires_and_what_is_locked_does_not() {
    let mut queue = queue(&[1, 2]);
    queue.receive(receiver(1, LIFE - 1, None)).unwrap();
    assert_eq!(queue.elapse(at(LIFE)), [dead(2, Reason::Expired)]);
    assert_eq!(queue.next_deadline(), Some(at(LIFE - 1 + LOCK)));
    assert_eq!(queue.settle(token(1), Settlement::Complete), Ok(Some(completed(1))));
    assert_eq!(queue.next_deadline(), None);
}

#[test]
fn what_expired_while_it_was_locked_expires_when_the_lock_ends() {
    let mut queue = queue(&[1]);
    queue.receive(receiver(1, LIFE - 1, None)).unwrap();
    assert_eq!(queue.elapse(at(LIFE - 1 + LOCK)), [dead(1, Reason::Expired)]);
}

#[test]
fn a_purge_takes_what_is_locked_as_well() {
    let mut queue = queue(&[1, 2]);
    queue.receive(receiver(1, 0, None)).unwrap();
    assert_eq!(queue.purge(), [dead(1, Reason::Purged), dead(2, Reason::Purged)]);
    assert_eq!(queue.settle(token(1), Settlement::Complete), Err(LockLost));
}

#[test]
fn a_connection_acknowledges_after_its_lock_has_ended() {
    let connection = ConnectionId::of(7);
    let mut queue = queue(&[1]);
    queue.receive(receiver(1, 0, Some(7))).unwrap();
    queue.elapse(at(LOCK));
    assert_eq!(received(&mut queue, receiver(2, LOCK, Some(7))), None, "it has that already");
    assert_eq!(queue.acknowledge(1, ConnectionId::of(8)), None);
    assert_eq!(queue.acknowledge(1, connection), Some(completed(1)));
    assert_eq!(queue.acknowledge(1, connection), None);
}

#[test]
fn a_connection_that_settles_gets_again_what_it_let_the_lock_of_end() {
    let mut queue = queue(&[1]);
    queue.receive(settling(receiver(1, 0, Some(7)))).unwrap();
    queue.elapse(at(LOCK));
    assert_eq!(queue.acknowledge(1, ConnectionId::of(7)), None);
    let again = queue.receive(settling(receiver(2, LOCK, Some(7)))).unwrap();
    assert_eq!((again.delivery_count, again.redelivered), (0, true));
    assert_eq!(queue.settle(token(1), Settlement::Complete), Err(LockLost));
    assert!(queue.release(ConnectionId::of(7)));
    assert_eq!(received(&mut queue, receiver(3, LOCK, Some(8))), Some(1));
}

#[test]
fn a_connection_does_not_acknowledge_what_another_received_since() {
    let mut queue = queue(&[1]);
    queue.receive(receiver(1, 0, Some(7))).unwrap();
    queue.elapse(at(LOCK));
    assert_eq!(received(&mut queue, receiver(2, LOCK, None)), Some(1));
    assert_eq!(queue.acknowledge(1, ConnectionId::of(7)), None);
    assert_eq!(queue.settle(token(2), Settlement::Complete), Ok(Some(completed(1))));
}

#[test]
fn what_a_connection_had_is_there_for_the_next() {
    let mut queue = queue(&[1, 2]);
    queue.receive(receiver(1, 0, Some(7))).unwrap();
    queue.elapse(at(LOCK));
    queue.receive(receiver(2, LOCK, Some(7))).unwrap();
    assert!(!queue.release(ConnectionId::of(8)));
    assert!(queue.release(ConnectionId::of(7)));
    for (number, item) in [(3, 1), (4, 2)] {
        let again = queue.receive(receiver(number, LOCK, Some(8))).unwrap();
        assert_eq!((*again.item, again.redelivered, again.delivery_count), (item, true, 0));
    }
}

/// Something that happens to a queue.
#[derive(Clone, Copy, Debug)]
enum Step {
    Push,
    /// By this connection, if it is one, which keeps what it has or does not.
    Receive(Option<u64>, bool),
    Settle(u8, Settlement),
    Acknowledge(u64, u64),
    Release(u64),
    Wait(u64),
    Purge,
}

fn step() -> impl Strategy<Value = Step> {
    let settlement = prop_oneof![
        Just(Settlement::Complete),
        Just(Settlement::Reject),
        Just(Settlement::Abandon)
    ];
    prop_oneof![
        4 => Just(Step::Push),
        4 => (proptest::option::of(1..3_u64), any::<bool>())
            .prop_map(|(who, keeps)| Step::Receive(who, keeps)),
        3 => (0..40_u8, settlement).prop_map(|(token, how)| Step::Settle(token, how)),
        2 => (1..20_u64, 1..3_u64).prop_map(|(number, who)| Step::Acknowledge(number, who)),
        1 => (1..3_u64).prop_map(Step::Release),
        2 => (1..90_u64).prop_map(Step::Wait),
        1 => Just(Step::Purge),
    ]
}

/// A message of the model: one list, no order but that of arrival, nothing moved about.
#[derive(Clone, Debug)]
struct Modelled {
    expires: u64,
    count: u32,
    /// Token and end of the lock, if it is locked.
    lock: Option<(u8, u64)>,
    /// The connection that was sent it last and has not acknowledged it.
    holder: Option<u64>,
    /// Whether that is so when the lock has ended, too.
    keeps: bool,
    over: bool,
}

#[derive(Debug, Default)]
struct Model {
    messages: Vec<Modelled>,
    now: u64,
    tokens: u8,
}

impl Model {
    fn elapse(&mut self) -> Vec<u32> {
        let mut expired = Vec::new();
        for (index, message) in self.messages.iter_mut().enumerate().filter(|(_, one)| !one.over) {
            if message.lock.is_some_and(|(_, until)| until <= self.now) {
                message.lock = None;
                message.holder = message.holder.filter(|_| message.keeps);
            }
            if message.lock.is_none() && message.expires <= self.now {
                message.over = true;
                expired.push(u32::try_from(index).unwrap());
            }
        }
        expired
    }

    fn live(&self) -> usize {
        self.messages.iter().filter(|message| !message.over).count()
    }
}

proptest! {
    /// Against a model so small that it can be seen to be right: nothing is lost, nothing comes
    /// twice after it came to an end, nothing is received after it expired.
    #[test]
    fn the_queue_does_what_a_list_does(steps in proptest::collection::vec(step(), 1..120)) {
        let mut queue = Queue::new(DEPTH, MAX_DELIVERIES);
        let mut model = Model::default();
        for step in steps {
            if let Step::Wait(seconds) = step {
                model.now += seconds;
            }
            elapse(&mut queue, &mut model)?;
            apply(&mut queue, &mut model, step)?;
            // What came back may have expired while it was locked.
            elapse(&mut queue, &mut model)?;
            prop_assert_eq!(queue.len(), model.live());
            prop_assert!(queue.next_deadline().is_none_or(|deadline| deadline > at(model.now)));
        }
    }
}

fn elapse(queue: &mut Queue<u32>, model: &mut Model) -> Result<(), TestCaseError> {
    let expired: Vec<_> =
        model.elapse().into_iter().map(|item| dead(item, Reason::Expired)).collect();
    prop_assert_eq!(queue.elapse(at(model.now)), expired);
    Ok(())
}

fn apply(queue: &mut Queue<u32>, model: &mut Model, step: Step) -> Result<(), TestCaseError> {
    let now = model.now;
    match step {
        Step::Wait(_) => {}
        Step::Push => {
            let item = u32::try_from(model.messages.len()).unwrap();
            let room = model.live() < DEPTH;
            prop_assert_eq!(queue.push(item, at(now + 100)).is_ok(), room);
            if room {
                let (lock, holder) = (None, None);
                model.messages.push(Modelled {
                    expires: now + 100,
                    count: 0,
                    lock,
                    holder,
                    keeps: false,
                    over: false,
                });
            }
        }
        Step::Receive(who, keeps) => {
            model.tokens = model.tokens.wrapping_add(1);
            let number = model.tokens;
            let expected = model.messages.iter().position(|one| {
                !one.over && one.lock.is_none() && (who.is_none() || one.holder != who)
            });
            let received = received(queue, Receiver { keeps, ..receiver(number, now, who) });
            prop_assert_eq!(received, expected.map(|index| u32::try_from(index).unwrap()));
            if let Some(message) = expected.and_then(|index| model.messages.get_mut(index)) {
                message.lock = Some((number, now + LOCK));
                (message.holder, message.keeps) = (who, keeps);
            }
        }
        Step::Settle(number, how) => {
            let locked = model
                .messages
                .iter()
                .position(|one| !one.over && one.lock.is_some_and(|(token, _)| token == number));
            let settled = queue.settle(token(number), how);
            let Some(index) = locked else {
                prop_assert_eq!(settled, Err(LockLost));
                return Ok(());
            };
            let item = u32::try_from(index).unwrap();
            let message = &mut model.messages[index];
            (message.lock, message.holder) = (None, None);
            let expected = match how {
                Settlement::Complete => Some(completed(item)),
                Settlement::Reject => Some(dead(item, Reason::Rejected)),
                Settlement::Abandon => {
                    message.count += 1;
                    (message.count == MAX_DELIVERIES)
                        .then(|| dead(item, Reason::DeliveryCountExceeded))
                }
            };
            message.over = expected.is_some();
            prop_assert_eq!(settled, Ok(expected));
        }
        Step::Acknowledge(number, who) => {
            let index = usize::try_from(number - 1).unwrap();
            let held =
                model.messages.get_mut(index).filter(|one| !one.over && one.holder == Some(who));
            let expected = held.map(|message| {
                message.over = true;
                completed(u32::try_from(index).unwrap())
            });
            prop_assert_eq!(queue.acknowledge(number, ConnectionId::of(who)), expected);
        }
        Step::Release(who) => {
            let mut any = false;
            for message in
                model.messages.iter_mut().filter(|one| !one.over && one.holder == Some(who))
            {
                (message.lock, message.holder) = (None, None);
                any = true;
            }
            prop_assert_eq!(queue.release(ConnectionId::of(who)), any);
        }
        Step::Purge => {
            let mut expected = Vec::new();
            for (index, message) in
                model.messages.iter_mut().enumerate().filter(|(_, one)| !one.over)
            {
                message.over = true;
                expected.push(dead(u32::try_from(index).unwrap(), Reason::Purged));
            }
            prop_assert_eq!(queue.purge(), expected);
        }
    }
    Ok(())
}
