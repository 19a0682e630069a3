//! Where a reader begins: the filter of its source.

use iothub_core::store::Position;
use iothub_core::time::Timestamp;

use crate::value::Value;

const KEY: &str = "apache.org:selector-filter:string";
/// The fields of a source, by their place.
const FILTER: usize = 7;

/// The position that a source asks for; without a filter it is the beginning.
pub(crate) fn position(source: &Value) -> Result<Position, String> {
    let Value::List(fields) = source.inner() else { return Ok(Position::Beginning) };
    let Some(filter) = fields.get(FILTER).and_then(|filter| filter.get(KEY)) else {
        return Ok(Position::Beginning);
    };
    let text = filter.inner().as_str().unwrap_or_default();
    parse(text).ok_or_else(|| {
        format!(
            "filter is {text:?}, expected x-opt-offset, x-opt-sequence-number or \
             x-opt-enqueued-time of amqp.annotation, > or >=, and a value"
        )
    })
}

fn parse(text: &str) -> Option<Position> {
    let condition = text.trim().strip_prefix("amqp.annotation.")?;
    let (name, value) = condition.split_once('>')?;
    let (inclusive, value) = match value.strip_prefix('=') {
        Some(value) => (true, value),
        None => (false, value),
    };
    let value = value.trim().trim_matches('\'');
    Some(match (name.trim(), value) {
        ("x-opt-offset", "-1") => Position::Beginning,
        ("x-opt-offset", "@latest") => Position::End,
        ("x-opt-offset", value) => Position::Offset { offset: value.parse().ok()?, inclusive },
        ("x-opt-sequence-number", "-1") => Position::Beginning,
        ("x-opt-sequence-number", value) => {
            Position::SequenceNumber { number: value.parse().ok()?, inclusive }
        }
        ("x-opt-enqueued-time" | "x-opt-enqueuedtimeutc", value) => {
            let milliseconds: i64 = value.parse().ok()?;
            // The annotation that this is compared with has milliseconds, the log has finer time:
            // behind a millisecond is from the next one on.
            let from = milliseconds.saturating_add(i64::from(!inclusive));
            let since_1970 = u64::try_from(from).unwrap_or_default();
            Position::Enqueued(Timestamp::from_unix(std::time::Duration::from_millis(since_1970)))
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_those_of_the_sdks() {
        let at = |milliseconds| {
            Position::Enqueued(Timestamp::from_unix(std::time::Duration::from_millis(milliseconds)))
        };
        let table = [
            ("amqp.annotation.x-opt-offset > '-1'", Some(Position::Beginning)),
            ("amqp.annotation.x-opt-offset > '@latest'", Some(Position::End)),
            (
                "amqp.annotation.x-opt-offset >= '5'",
                Some(Position::Offset { offset: 5, inclusive: true }),
            ),
            (
                "amqp.annotation.x-opt-sequence-number > '7'",
                Some(Position::SequenceNumber { number: 7, inclusive: false }),
            ),
            ("amqp.annotation.x-opt-enqueued-time > '1700000000000'", Some(at(1_700_000_000_001))),
            ("amqp.annotation.x-opt-enqueued-time >= '1700000000000'", Some(at(1_700_000_000_000))),
            ("amqp.annotation.x-opt-enqueuedtimeutc > 1700000000000", Some(at(1_700_000_000_001))),
            ("amqp.annotation.x-opt-offset > 'x'", None),
            ("amqp.annotation.other > '1'", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
