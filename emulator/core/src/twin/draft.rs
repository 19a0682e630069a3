//! A twin as a document says it: of a snapshot that has everything, or of somebody who wrote down
//! the properties alone.

use super::limits::{DESIRED, REPORTED, SectionLimit, TAGS};
use super::metadata::Stamp;
use super::{Dialect, Document, Metadata, Section, Twin};
use crate::configuration::Targeting;
use crate::error::HubError;
use crate::time::Timestamp;

/// What a document says of a twin: what is none is as with a new twin.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TwinDraft {
    /// The tags.
    pub tags: Option<Document>,
    /// The desired properties.
    pub desired: SectionDraft,
    /// The reported properties.
    pub reported: SectionDraft,
    /// The model that the device announced last.
    pub model_id: Option<String>,
    /// The count of all writes.
    pub version: Option<u64>,
    /// The count of the service's writes.
    pub service_writes: Option<u64>,
    /// The configurations that target it.
    pub configurations: Targeting,
}

/// What a document says of a section.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SectionDraft {
    /// The properties.
    pub properties: Document,
    /// When each was written; what it leaves out is written now.
    pub metadata: Option<Metadata>,
    /// The count of the section's writes.
    pub version: Option<u64>,
}

impl TwinDraft {
    /// The twin.
    ///
    /// # Errors
    ///
    /// Every section that breaks a rule of twins, by its path in a twin document.
    pub fn settle(self, now: Timestamp) -> Result<Twin, Vec<(&'static str, HubError)>> {
        let none = Document::new();
        let tags = self.tags.as_ref().unwrap_or(&none);
        let checks = [
            ("tags", check(&TAGS, tags)),
            ("properties.desired", check(&DESIRED, &self.desired.properties)),
            ("properties.reported", check(&REPORTED, &self.reported.properties)),
        ];
        let mistakes: Vec<_> = checks
            .into_iter()
            .filter_map(|(section, checked)| checked.err().map(|why| (section, why)))
            .collect();
        if mistakes.is_empty() { Ok(self.filled(now)) } else { Err(mistakes) }
    }

    fn filled(self, now: Timestamp) -> Twin {
        let new = Twin::new(now);
        let desired_version = self.desired.version.unwrap_or(new.desired.version);
        Twin {
            tags: self.tags,
            desired: self.desired.laid_over(new.desired, Stamp::desired(now, desired_version)),
            reported: self.reported.laid_over(new.reported, Stamp::reported(now)),
            model_id: self.model_id,
            version: self.version.unwrap_or(new.version),
            service_writes: self.service_writes.unwrap_or(new.service_writes),
            configurations: self.configurations,
        }
    }
}

impl SectionDraft {
    fn laid_over(self, new: Section, stamp: Stamp) -> Section {
        let metadata = self.metadata.unwrap_or(new.metadata);
        Section {
            metadata: metadata.covering(&self.properties, stamp),
            version: self.version.unwrap_or(new.version),
            properties: self.properties,
        }
    }
}

fn check(limit: &SectionLimit, content: &Document) -> Result<(), HubError> {
    Dialect::CURRENT.check_content(content)?;
    limit.check_growth(&Document::new(), content)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(value: Value) -> Document {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn properties_alone_make_a_new_twin_that_has_them() {
        let now = Timestamp::from_unix_seconds(1000);
        assert_eq!(TwinDraft::default().settle(now), Ok(Twin::new(now)));
        let desired =
            SectionDraft { properties: object(json!({"a": {"b": 1}})), ..SectionDraft::default() };
        let twin = TwinDraft { desired, ..TwinDraft::default() }.settle(now).unwrap();
        let below = twin.desired.metadata.member("a").and_then(|a| a.member("b")).unwrap();
        assert_eq!((below.updated(), below.version()), (now, Some(1)));
        assert_eq!(twin.etag(), Twin::new(now).etag());
    }

    #[test]
    fn metadata_follows_the_properties() {
        let (then, now) = (Timestamp::from_unix_seconds(10), Timestamp::from_unix_seconds(1000));
        let metadata =
            Metadata::of(&object(json!({"a": {"b": 1}, "gone": 1})), Stamp::reported(then));
        let reported = SectionDraft {
            properties: object(json!({"a": 1, "new": 2})),
            metadata: Some(metadata),
            version: Some(7),
        };
        let twin = TwinDraft { reported, ..TwinDraft::default() }.settle(now).unwrap();
        let stamped = |at: Timestamp| json!({"$lastUpdated": at.to_string()});
        let mut expected = object(stamped(then));
        expected.extend(object(json!({"a": stamped(then), "new": stamped(now)})));
        assert_eq!(twin.reported.metadata.to_json(), expected);
        assert_eq!(twin.reported.version, 7);
    }

    #[test]
    fn every_section_that_breaks_a_rule_is_told() {
        let section = |properties| SectionDraft { properties, ..SectionDraft::default() };
        let draft = TwinDraft {
            tags: Some(object(json!({"a.b": 1}))),
            desired: section(object(json!({"a": null}))),
            reported: section(object(json!({"a": vec!["x".repeat(4000); 9]}))),
            ..TwinDraft::default()
        };
        let mistakes = draft.settle(Timestamp::NEVER).unwrap_err();
        let places: Vec<_> = mistakes.iter().map(|(section, _)| *section).collect();
        assert_eq!(places, ["tags", "properties.desired", "properties.reported"], "{mistakes:?}");
    }

    #[test]
    fn metadata_that_cannot_be_read_is_told_with_its_place() {
        let table = [
            (json!({}), "$lastUpdated is no time"),
            (json!({"$lastUpdated": "x"}), "$lastUpdated is no time"),
            (json!({"$lastUpdated": "0001-01-01T00:00:00Z", "a": 1}), "a is no object"),
            (json!({"$lastUpdated": "0001-01-01T00:00:00Z", "a": {}}), "a.$lastUpdated is no"),
            (
                json!({"$lastUpdated": "0001-01-01T00:00:00Z", "$lastUpdatedVersion": -1}),
                "$lastUpdatedVersion is no number",
            ),
        ];
        for (metadata, expected) in table {
            let why = Metadata::from_json(&object(metadata)).unwrap_err();
            assert!(why.starts_with(expected), "{why:?}, expected {expected:?}");
        }
    }
}
