//! Time as a value: [`Timestamp`], and the [`Clock`] that hands it out.
//!
//! The hub never reads the machine's clock. A [`Clock`] comes in from outside, so that a test can
//! turn it and everything that depends on time follows.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use time::{Date, Month, OffsetDateTime};
use tokio::sync::watch;

const TICKS_PER_SECOND: u64 = 10_000_000;
/// The Unix epoch in ticks since year 1.
const UNIX_EPOCH: u64 = 621_355_968_000_000_000;

/// A moment in UTC, in ticks of 100 ns since year 1: the service's own unit, which shows in
/// generation ids and in the seven digits of its dates.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Year 1: how the service writes "never".
    pub const NEVER: Self = Self(0);

    /// A moment given in ticks since year 1.
    pub fn from_ticks(ticks: u64) -> Self {
        Self(ticks)
    }

    /// A moment given in seconds since 1970.
    pub fn from_unix_seconds(seconds: u64) -> Self {
        Self(UNIX_EPOCH.saturating_add(seconds.saturating_mul(TICKS_PER_SECOND)))
    }

    /// A moment given as the time since 1970.
    pub fn from_unix(since: Duration) -> Self {
        let ticks = u64::try_from(since.as_nanos() / 100).unwrap_or(u64::MAX);
        Self(UNIX_EPOCH.saturating_add(ticks))
    }

    /// Reads what ISO 8601 writes with a date and a time; without a zone it is UTC.
    pub fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.split_once(['T', ' '])?;
        let [year, month, day] = numbers(date, '-')?;
        let (clock, offset) = split_zone(time)?;
        let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
        let [hour, minute, second] = numbers(clock, ':')?;
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
        let date =
            Date::from_calendar_date(i32::try_from(year).ok()?, month, u8::try_from(day).ok()?);
        let days = date.ok()?.to_julian_day() - Date::from_ordinal_date(1, 1).ok()?.to_julian_day();
        let seconds = i64::from(days) * 86_400 + i64::from(hour * 3600 + minute * 60 + second);
        let seconds = u64::try_from(seconds - offset).ok()?;
        Some(Self(seconds.checked_mul(TICKS_PER_SECOND)?.checked_add(ticks(fraction)?)?))
    }

    /// Ticks since year 1.
    pub fn ticks(self) -> u64 {
        self.0
    }

    /// Whole seconds since 1970; zero before.
    pub fn unix_seconds(self) -> u64 {
        self.0.saturating_sub(UNIX_EPOCH) / TICKS_PER_SECOND
    }

    /// The time since 1970; zero before.
    pub fn since_1970(self) -> Duration {
        self.since(Self(UNIX_EPOCH))
    }

    /// This moment and `span` more.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        let ticks = u64::try_from(span.as_nanos() / 100).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(ticks))
    }

    /// The time from `earlier` to this moment; zero if it lies later.
    pub fn since(self, earlier: Self) -> Duration {
        let ticks = self.0.saturating_sub(earlier.0);
        Duration::from_secs(ticks / TICKS_PER_SECOND)
            + Duration::from_nanos(ticks % TICKS_PER_SECOND * 100)
    }

    /// The moment as a calendar and a clock show it, in UTC.
    pub fn date_time(self) -> OffsetDateTime {
        let since_1970 = (i128::from(self.0) - i128::from(UNIX_EPOCH)) * 100;
        // The range of a date ends in year 9999; a later moment shows as the epoch of 1970.
        OffsetDateTime::from_unix_timestamp_nanos(since_1970).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

impl fmt::Display for Timestamp {
    /// ISO 8601 in UTC, fraction trimmed, as the service writes dates: `2026-11-23T14:00:00.5Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.date_time();
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        )?;
        let fraction = self.0 % TICKS_PER_SECOND;
        if fraction > 0 {
            write!(f, ".{}", format!("{fraction:07}").trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

/// Three numbers between separators.
fn numbers(text: &str, separator: char) -> Option<[u32; 3]> {
    let mut parts = text.split(separator);
    let mut next = || {
        let part = parts.next()?;
        let is_number = (1..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| part.parse().ok())?
    };
    let found = [next()?, next()?, next()?];
    parts.next().is_none().then_some(found)
}

/// Splits a time from its zone, which is given in seconds.
fn split_zone(text: &str) -> Option<(&str, i64)> {
    if let Some(time) = text.strip_suffix(['Z', 'z']) {
        return Some((time, 0));
    }
    let Some(at) = text.find(['+', '-']) else { return Some((text, 0)) };
    let (time, zone) = text.split_at_checked(at)?;
    let (sign, zone) = zone.split_at_checked(1)?;
    let (hours, minutes) = zone.split_once(':')?;
    let [hours, minutes, _] = numbers(&format!("{hours}:{minutes}:0"), ':')?;
    let seconds = i64::from(hours.min(24) * 3600 + minutes.min(60) * 60);
    Some((time, if sign == "-" { -seconds } else { seconds }))
}

/// A fraction of a second; digits beyond the hub's own measure are dropped.
fn ticks(fraction: &str) -> Option<u64> {
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain("0000000".chars()).take(7).collect();
    digits.parse().ok()
}

/// A future that a [`Clock`] hands out.
pub type Sleep<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Where the hub takes the time from.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// Returns once [`Clock::now`] has reached `deadline`.
    fn sleep_until(&self, deadline: Timestamp) -> Sleep<'_>;

    /// The same for what comes again and again, so that nobody needs to see each time of it: a clock
    /// that is turned does not stop there on its way.
    fn tick_at(&self, deadline: Timestamp) -> Sleep<'_> {
        self.sleep_until(deadline)
    }
}

/// A clock that stands still until somebody moves it.
#[derive(Debug)]
pub struct ManualClock {
    now: AtomicU64,
    moved: watch::Sender<()>,
}

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: Timestamp) -> Self {
        Self { now: AtomicU64::new(start.0), moved: watch::Sender::new(()) }
    }

    /// Moves the clock on and wakes whoever was waiting for that.
    pub fn advance(&self, span: Duration) {
        self.now.store(self.now().after(span).0, Ordering::SeqCst);
        self.moved.send_replace(());
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::SeqCst))
    }

    fn sleep_until(&self, deadline: Timestamp) -> Sleep<'_> {
        let mut moved = self.moved.subscribe();
        Box::pin(async move {
            while self.now() < deadline {
                if moved.changed().await.is_err() {
                    return;
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_the_service_writes_them() {
        let table = [
            (Timestamp::NEVER, "0001-01-01T00:00:00Z"),
            (Timestamp::from_unix_seconds(0), "1970-01-01T00:00:00Z"),
            (Timestamp::from_ticks(637_134_336_000_000_000), "2020-01-01T00:00:00Z"),
            (Timestamp::from_ticks(637_134_336_005_000_000), "2020-01-01T00:00:00.5Z"),
            (Timestamp::from_ticks(637_134_336_000_000_001), "2020-01-01T00:00:00.0000001Z"),
        ];
        for (at, expected) in table {
            assert_eq!(at.to_string(), expected);
        }
    }

    #[test]
    fn dates_are_read_in_the_forms_that_sdks_write() {
        let table = [
            ("2020-01-01T00:00:00Z", Some("2020-01-01T00:00:00Z")),
            ("2020-01-01T00:00:00", Some("2020-01-01T00:00:00Z")),
            ("2020-01-01T00:00:00.123Z", Some("2020-01-01T00:00:00.123Z")),
            ("2020-01-01T00:00:00.123456789+00:00", Some("2020-01-01T00:00:00.1234567Z")),
            ("2020-01-01T01:30:00+01:30", Some("2020-01-01T00:00:00Z")),
            ("2019-12-31T22:00:00-02:00", Some("2020-01-01T00:00:00Z")),
            ("0001-01-01T00:00:00Z", Some("0001-01-01T00:00:00Z")),
            ("0001-01-01T00:00:00+01:00", None),
            ("2020-02-30T00:00:00Z", None),
            ("2020-01-01T24:00:00Z", None),
            ("2020-01-01", None),
            ("2020-01-01T00:00:00.xZ", None),
            ("2020-01-01T00:00:00+é", None),
            ("tomorrow", None),
            ("T", None),
        ];
        for (text, expected) in table {
            let found = Timestamp::parse(text).map(|at| at.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn seconds_survive_the_round_trip() {
        assert_eq!(Timestamp::from_unix_seconds(1_893_456_000).unix_seconds(), 1_893_456_000);
    }

    #[tokio::test]
    async fn advancing_a_manual_clock_wakes_sleepers() {
        let clock = ManualClock::new(Timestamp::from_unix_seconds(100));
        let deadline = clock.now().after(Duration::from_secs(60));
        let sleep = clock.sleep_until(deadline);
        clock.advance(Duration::from_secs(61));
        sleep.await;
        assert!(clock.now() >= deadline);
    }
}
