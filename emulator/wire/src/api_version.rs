//! Api-versions: dates that clients send, and what differs between them.

use std::fmt;

use iothub_core::twin::Dialect;

/// A date, perhaps of a preview: `2021-04-12`, `2017-11-08-preview`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ApiVersion(String);

impl ApiVersion {
    /// Takes any date, as the service's own versions are too many to list; none if it is no date.
    pub fn parse(text: &str) -> Option<Self> {
        let date = text.strip_suffix("-preview").unwrap_or(text);
        let is_date = date.len() == 10
            && date.bytes().enumerate().all(|(index, byte)| match index {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        is_date.then(|| Self(text.to_owned()))
    }

    /// Whether twin documents on their way to a device are indented: until 2018 they were, and
    /// scripts of that time cut values out of the text.
    pub fn indents_twins(&self) -> bool {
        self.is_before("2019-01-01")
    }

    /// Whether a device's identity shows its parents.
    pub fn has_parent_scopes(&self) -> bool {
        !self.is_before("2020-05-01")
    }

    /// Whether a twin shows its model id even if it is empty.
    pub fn has_model_id(&self) -> bool {
        !self.is_before("2020-05-01")
    }

    /// What twins of this version may hold.
    pub fn twin_dialect(&self) -> Dialect {
        Dialect { arrays: !self.is_before("2019-10-01") }
    }

    fn is_before(&self, date: &str) -> bool {
        self.0.as_str() < date
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_dates() {
        let table = [
            ("2021-04-12", true),
            ("2017-11-08-preview", true),
            ("2021-4-12", false),
            ("", false),
            ("latest", false),
            ("2021-04-12-beta", false),
            ("20210412xx", false),
        ];
        for (text, expected) in table {
            assert_eq!(ApiVersion::parse(text).is_some(), expected, "{text}");
        }
    }

    #[test]
    fn what_differs() {
        let version = |text| ApiVersion::parse(text).unwrap();
        assert!(version("2017-11-08-preview").indents_twins());
        assert!(!version("2019-03-30").indents_twins());
        assert!(!version("2019-03-30").twin_dialect().arrays);
        assert!(version("2019-10-01").twin_dialect().arrays);
    }
}
