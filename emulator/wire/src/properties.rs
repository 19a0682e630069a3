//! The property bag behind an event's topic: `a=1&b&%24.ct=application%2Fjson`.

use iothub_core::event::SystemProperty;
use percent_encoding::percent_decode_str;

/// The properties of a message, as [`iothub_core::event::Message`] keeps them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Properties {
    /// Those that the service gives a meaning to.
    pub system: Vec<(SystemProperty, String)>,
    /// Those of the application, in the order sent.
    pub application: Vec<(String, Option<String>)>,
}

impl Properties {
    /// Parses a bag. Nothing is an error: a name may come without a value, the C SDK does not
    /// encode its values, and a system property that is not known counts as the application's.
    pub fn parse(bag: &str) -> Self {
        let mut properties = Self::default();
        for pair in bag.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = match pair.split_once('=') {
                Some((name, value)) => (decode(name), Some(decode(value))),
                None => (decode(pair), None),
            };
            match system_property(&name) {
                Some(property) => properties.system.push((property, value.unwrap_or_default())),
                None => properties.application.push((name, value)),
            }
        }
        properties
    }
}

/// A plus sign stands for itself, as no SDK means a blank by it.
fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn system_property(name: &str) -> Option<SystemProperty> {
    Some(match name {
        "$.mid" => SystemProperty::MessageId,
        "$.cid" => SystemProperty::CorrelationId,
        "$.uid" => SystemProperty::UserId,
        "$.to" => SystemProperty::To,
        "$.ct" => SystemProperty::ContentType,
        "$.ce" => SystemProperty::ContentEncoding,
        "$.exp" => SystemProperty::Expiry,
        "$.ctime" => SystemProperty::CreationTime,
        "$.on" => SystemProperty::OutputName,
        "$.ifid" => SystemProperty::InterfaceId,
        "$.sub" => SystemProperty::Component,
        "$.schema" => SystemProperty::MessageSchema,
        "$.diagid" => SystemProperty::DiagnosticsId,
        "$.diagctx" => SystemProperty::DiagnosticsContext,
        "$.tracestate" => SystemProperty::TraceState,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::connection_string::encode;

    fn parsed(bag: &str) -> (Vec<(SystemProperty, String)>, Vec<(String, Option<String>)>) {
        let properties = Properties::parse(bag);
        (properties.system, properties.application)
    }

    fn application(pairs: &[(&str, Option<&str>)]) -> Vec<(String, Option<String>)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect()
    }

    #[test]
    fn bags_parse_as_the_sdks_write_them() {
        use SystemProperty::{ContentEncoding, ContentType, CorrelationId, MessageId};
        // Python and Node: encoded, system properties first.
        let (system, rest) = parsed(
            "%24.mid=m%201&%24.cid=c&%24.ct=application%2Fjson&%24.ce=utf-8&alert=yes%20%26%2B",
        );
        let expected = [
            (MessageId, "m 1"),
            (CorrelationId, "c"),
            (ContentType, "application/json"),
            (ContentEncoding, "utf-8"),
        ];
        assert_eq!(system, expected.map(|(property, value)| (property, value.to_owned())));
        assert_eq!(rest, application(&[("alert", Some("yes &+"))]));
        // C: values not encoded, application properties first.
        let (system, rest) = parsed("alert=yes&odd=a b/c+d&%24.mid=1");
        assert_eq!(system, [(MessageId, "1".to_owned())]);
        assert_eq!(rest, application(&[("alert", Some("yes")), ("odd", Some("a b/c+d"))]));
        // Java: a raw dollar.
        assert_eq!(parsed("$.mid=1").0, [(MessageId, "1".to_owned())]);
    }

    #[test]
    fn odd_bags_parse_too() {
        let table: [(&str, &[(&str, Option<&str>)]); 6] = [
            ("", &[]),
            ("&&", &[]),
            ("a&b=&c=1=2", &[("a", None), ("b", Some("")), ("c", Some("1=2"))]),
            ("$.unknown=1", &[("$.unknown", Some("1"))]),
            ("a=%zz%", &[("a", Some("%zz%"))]),
            ("a=%ff", &[("a", Some("\u{fffd}"))]),
        ];
        for (bag, expected) in table {
            assert_eq!(parsed(bag), (Vec::new(), application(expected)), "{bag}");
        }
    }

    proptest! {
        #[test]
        fn whatever_was_encoded_comes_back(pairs in prop::collection::vec((".{1,8}", ".{0,8}"), 0..5)) {
            let bag: Vec<String> =
                pairs.iter().map(|(name, value)| format!("x{}={}", encode(name), encode(value))).collect();
            let expected: Vec<_> =
                pairs.into_iter().map(|(name, value)| (format!("x{name}"), Some(value))).collect();
            prop_assert_eq!(parsed(&bag.join("&")), (Vec::new(), expected));
        }

        #[test]
        fn nothing_panics(bag in ".*") {
            Properties::parse(&bag);
        }
    }
}
