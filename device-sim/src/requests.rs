//! Twin requests: one at a time, in order, sent again when no answer comes.
//!
//! Only one is under way because a report that is sent again must not overtake a later one: the
//! twin would say "pending" for ever.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::document::Properties;

/// How long an answer may take. A hub answers in milliseconds; what is lost stays lost.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a request is sent before the connection itself is doubted.
const ATTEMPTS: u32 = 3;
/// The first pause after an answer that asks to come back later; doubled each time.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How many requests may wait. A device makes a handful; beyond that its twin is flooded, and the
/// comparison after a reconnect says all in one patch.
const WAITING: usize = 256;

/// What a device asks of its twin.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Request {
    Get,
    Report(Properties),
}

/// What to do now.
#[derive(Debug, PartialEq)]
pub(crate) enum Step<'a> {
    /// Nothing before an answer comes or [`Requests::next_deadline`].
    Wait,
    /// Send this under this id.
    Send { rid: u64, request: &'a Request },
    /// No answer came: send it again.
    Again { rid: u64, request: &'a Request, attempts: u32 },
    /// No answers come: the connection is dead.
    GiveUp,
}

/// What an answer means.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    /// It answers nothing that is under way.
    Stray,
    /// The request was carried out.
    Done(Request),
    /// It was not, and will not be.
    Refused(Request),
    /// It was not, and is sent again after the pause.
    Later(Request, Duration),
}

/// The requests of one connection.
#[derive(Debug)]
pub(crate) struct Requests {
    waiting: VecDeque<Request>,
    current: Option<Current>,
    last_rid: u64,
}

#[derive(Debug)]
struct Current {
    request: Request,
    state: State,
    /// How often in a row no answer came.
    unanswered: u32,
    /// How often the answer was to come back later.
    postponed: u32,
}

#[derive(Debug)]
enum State {
    Ready,
    Sent { rid: u64, deadline: Instant },
    Paused { until: Instant },
}

impl Requests {
    pub(crate) fn new() -> Self {
        Self { waiting: VecDeque::new(), current: None, last_rid: 0 }
    }

    /// Adds a request; false if too many wait.
    pub(crate) fn push(&mut self, request: Request) -> bool {
        if request == Request::Get && self.waiting.contains(&request) {
            return true;
        }
        if self.waiting.len() >= WAITING {
            return false;
        }
        self.waiting.push_back(request);
        true
    }

    /// Decides what to do now.
    pub(crate) fn step(&mut self, now: Instant) -> Step<'_> {
        let Some(current) =
            self.current.take().or_else(|| self.waiting.pop_front().map(Current::new))
        else {
            return Step::Wait;
        };
        let current = self.current.insert(current);
        match current.state {
            State::Sent { deadline, .. } if deadline > now => return Step::Wait,
            State::Paused { until } if until > now => return Step::Wait,
            State::Sent { .. } => current.unanswered += 1,
            State::Ready | State::Paused { .. } => {}
        }
        if current.unanswered >= ATTEMPTS {
            return Step::GiveUp;
        }
        self.last_rid += 1;
        let rid = self.last_rid;
        current.state = State::Sent { rid, deadline: now + ANSWER_TIMEOUT };
        let request = &current.request;
        match current.unanswered {
            0 => Step::Send { rid, request },
            attempts => Step::Again { rid, request, attempts },
        }
    }

    /// When [`Requests::step`] has something to do even if no answer comes.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        match self.current.as_ref()?.state {
            State::Ready => None,
            State::Sent { deadline, .. } => Some(deadline),
            State::Paused { until } => Some(until),
        }
    }

    /// Judges an answer.
    pub(crate) fn answer(&mut self, rid: &str, status: u16, now: Instant) -> Verdict {
        let awaited = |current: &mut Current| match current.state {
            State::Sent { rid: sent, .. } => sent.to_string() == rid,
            State::Ready | State::Paused { .. } => false,
        };
        let Some(mut current) = self.current.take_if(awaited) else {
            return Verdict::Stray;
        };
        match (status, &current.request) {
            (200..=299, _) => Verdict::Done(current.request),
            // Without its twin a device can do nothing, so it asks until it gets it.
            (429 | 500..=599, _) | (_, Request::Get) => {
                let pause = PAUSE.saturating_mul(1 << current.postponed.min(6)).min(LONGEST_PAUSE);
                let request = current.request.clone();
                current.postponed += 1;
                current.unanswered = 0;
                current.state = State::Paused { until: now + pause };
                self.current = Some(current);
                Verdict::Later(request, pause)
            }
            _ => Verdict::Refused(current.request),
        }
    }
}

impl Request {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Report(_) => "report",
        }
    }
}

impl Current {
    fn new(request: Request) -> Self {
        Self { request, state: State::Ready, unanswered: 0, postponed: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(name: &str) -> Request {
        Request::Report(Properties::from_iter([(name.to_owned(), true.into())]))
    }

    fn sent(step: Step<'_>) -> (u64, Request) {
        match step {
            Step::Send { rid, request } => (rid, request.clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn requests_go_one_at_a_time() {
        let now = Instant::now();
        let mut requests = Requests::new();
        assert!(requests.push(Request::Get));
        assert!(requests.push(report("a")));
        assert_eq!(sent(requests.step(now)), (1, Request::Get));
        assert_eq!(requests.step(now), Step::Wait);
        assert_eq!(requests.answer("7", 200, now), Verdict::Stray);
        assert_eq!(requests.answer("1", 200, now), Verdict::Done(Request::Get));
        assert_eq!(sent(requests.step(now)), (2, report("a")));
        assert_eq!(requests.answer("2", 204, now), Verdict::Done(report("a")));
        assert_eq!(requests.answer("2", 204, now), Verdict::Stray);
        assert_eq!(requests.step(now), Step::Wait);
        assert_eq!(requests.next_deadline(), None);
    }

    #[test]
    fn what_is_not_answered_is_sent_again_and_then_given_up() {
        let start = Instant::now();
        let mut requests = Requests::new();
        requests.push(report("a"));
        requests.push(report("b"));
        assert_eq!(sent(requests.step(start)), (1, report("a")));
        let mut now = start;
        for (rid, attempts) in [(2, 1), (3, 2)] {
            now += ANSWER_TIMEOUT;
            assert_eq!(requests.step(now), Step::Again { rid, request: &report("a"), attempts });
        }
        assert_eq!(requests.answer("2", 204, now), Verdict::Stray);
        assert_eq!(requests.step(now + ANSWER_TIMEOUT), Step::GiveUp);
    }

    #[test]
    fn answers_are_judged() {
        let table = [
            (Request::Get, 200, None),
            (Request::Get, 404, Some(true)),
            (Request::Get, 429, Some(true)),
            (report("a"), 204, None),
            (report("a"), 400, Some(false)),
            (report("a"), 412, Some(false)),
            (report("a"), 429, Some(true)),
            (report("a"), 503, Some(true)),
        ];
        for (request, status, again) in table {
            let now = Instant::now();
            let mut requests = Requests::new();
            requests.push(request.clone());
            requests.step(now);
            let expected = match again {
                None => Verdict::Done(request.clone()),
                Some(false) => Verdict::Refused(request.clone()),
                Some(true) => Verdict::Later(request.clone(), PAUSE),
            };
            assert_eq!(requests.answer("1", status, now), expected, "{request:?} {status}");
        }
    }

    #[test]
    fn pauses_grow() {
        let mut now = Instant::now();
        let mut requests = Requests::new();
        requests.push(Request::Get);
        for (rid, seconds) in [1, 2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
            assert_eq!(sent(requests.step(now)), (rid as u64 + 1, Request::Get));
            let pause = Duration::from_secs(seconds);
            let verdict = requests.answer(&(rid + 1).to_string(), 503, now);
            assert_eq!(verdict, Verdict::Later(Request::Get, pause));
            assert_eq!(requests.step(now), Step::Wait);
            now += pause;
        }
    }

    #[test]
    fn a_second_get_is_no_news_and_a_flood_is_refused() {
        let mut requests = Requests::new();
        assert!((0..WAITING * 2).all(|_| requests.push(Request::Get)));
        let taken = (0..WAITING * 2).filter(|_| requests.push(report("a"))).count();
        assert_eq!(taken, WAITING - 1);
    }
}
