//! How each kind of value is written, and what is said of one that is not.

use iothub_core::limits;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use iothub_core::route::is_consumer_group;
use iothub_core::throttle::Tier;

use super::{AdminToken, HostName, HubKeys, KeyAlgorithm, LogFormat};

/// A kind of value: how it is parsed, and what a mistake says was expected.
pub(super) struct Kind<T> {
    pub(super) parse: fn(&str) -> Option<T>,
    pub(super) expected: &'static str,
}

impl Kind<IpAddr> {
    pub(super) const ADDRESS: Self =
        Self { parse: |text| text.parse().ok(), expected: "an IP address" };
}

impl Kind<u16> {
    pub(super) const PORT: Self =
        Self { parse: |text| text.parse().ok(), expected: "a number from 0 to 65535" };
}

impl Kind<Option<u16>> {
    /// A port of a listener that is off by default; `off` takes back what a weaker source said.
    pub(super) const OPTIONAL_PORT: Self = Self {
        parse: |text| if text == "off" { Some(None) } else { text.parse().ok().map(Some) },
        expected: "a number from 0 to 65535, or off",
    };
}

impl Kind<bool> {
    pub(super) const SWITCH: Self =
        Self { parse: |text| text.parse().ok(), expected: "true or false" };
}

impl Kind<HostName> {
    pub(super) const HOST_NAME: Self =
        Self { parse: HostName::parse, expected: "a host name or an IP address, without a port" };
}

impl Kind<PathBuf> {
    pub(super) const PATH: Self =
        Self { parse: |text| (!text.is_empty()).then(|| text.into()), expected: "a path" };
}

impl Kind<AdminToken> {
    pub(super) const TOKEN: Self = Self {
        parse: |text| {
            let good = text.len() >= 16 && text.bytes().all(|byte| byte.is_ascii_graphic());
            good.then(|| AdminToken::new(text))
        },
        expected: "16 or more characters without blanks",
    };
}

impl Kind<KeyAlgorithm> {
    pub(super) const KEY_ALGORITHM: Self = Self {
        parse: |text| match text {
            "ecdsa" => Some(KeyAlgorithm::Ecdsa),
            "rsa" => Some(KeyAlgorithm::Rsa),
            _ => None,
        },
        expected: "ecdsa or rsa",
    };
}

impl Kind<HubKeys> {
    pub(super) const HUB_KEYS: Self = Self {
        parse: |text| match text {
            "well-known" => Some(HubKeys::WellKnown),
            "random" => Some(HubKeys::Random),
            _ => None,
        },
        expected: "well-known or random",
    };
}

impl Kind<LogFormat> {
    pub(super) const LOG_FORMAT: Self = Self {
        parse: |text| match text {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => None,
        },
        expected: "text or json",
    };
}

impl Kind<Duration> {
    pub(super) const DURATION: Self =
        Self { parse: duration, expected: "a number and its unit, such as 5s or 500ms" };
}

impl Kind<Duration> {
    /// The service's own figures for its tiers that are not free.
    pub(super) const RETENTION_DAYS: Self = Self {
        parse: |text| {
            let days = text.parse::<u64>().ok()?.checked_mul(24 * 60 * 60)?;
            Some(Duration::from_secs(days)).filter(|span| limits::EVENT_RETENTION.contains(span))
        },
        expected: "a number from 1 to 7",
    };
}

impl Kind<Tier> {
    pub(super) const TIER: Self = Self { parse: Tier::parse, expected: "F1, S1, S2 or S3" };
}

impl Kind<u32> {
    pub(super) const UNITS: Self = Self {
        parse: |text| text.parse().ok().filter(|units| (1..=200).contains(units)),
        expected: "a number from 1 to 200",
    };
}

impl Kind<usize> {
    pub(super) const COUNT: Self = Self {
        parse: |text| text.parse().ok().filter(|&count| count > 0),
        expected: "a number from 1",
    };
}

impl Kind<usize> {
    pub(super) const PARTITIONS: Self = Self {
        parse: |text| {
            text.parse().ok().filter(|count| limits::EVENT_PARTITION_COUNTS.contains(count))
        },
        expected: "a number from 2 to 32",
    };
}

impl Kind<String> {
    pub(super) const CONSUMER_GROUP: Self = Self {
        parse: |text| is_consumer_group(text).then(|| text.to_owned()),
        expected: "1 to 50 letters, digits, dots, hyphens and underscores",
    };

    pub(super) const HUB_NAME: Self = Self {
        parse: |text| is_hub_name(text).then(|| text.to_owned()),
        expected: "3 to 50 letters, digits and inner hyphens",
    };
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        _ => None,
    }
}

/// The service's own rule, since the name shows in host names.
fn is_hub_name(text: &str) -> bool {
    (3..=50).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        let table = [
            ("5s", Some(Duration::from_secs(5))),
            ("500ms", Some(Duration::from_millis(500))),
            ("2m", Some(Duration::from_secs(120))),
            ("0s", Some(Duration::ZERO)),
            ("5", None),
            ("s", None),
            ("-1s", None),
            ("1h", None),
            ("99999999999999999999s", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(duration(text), expected, "{text:?}");
        }
    }

    #[test]
    fn hub_names_follow_the_service() {
        for (text, expected) in [
            ("emulator", true),
            ("my-hub-1", true),
            ("ab", false),
            ("-hub", false),
            ("my_hub", false),
        ] {
            assert_eq!(is_hub_name(text), expected, "{text:?}");
        }
    }
}
