use proptest::prelude::*;
use serde_json::json;

use super::*;

const T0: Timestamp = Timestamp::NEVER;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds)
}

fn object(value: Value) -> Document {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}

fn desired(patch: Value) -> TwinPatch {
    TwinPatch { tags: None, desired: Some(SectionPatch::Merge(object(patch))) }
}

fn tags(patch: Value) -> TwinPatch {
    TwinPatch { tags: Some(SectionPatch::Merge(object(patch))), desired: None }
}

fn patched(twin: &Twin, patch: &TwinPatch, now: Timestamp) -> (Twin, Option<Value>) {
    let (twin, effects) = twin.patched(patch, Dialect::CURRENT, now).unwrap();
    (twin, told(&effects))
}

fn told(effects: &[Effect]) -> Option<Value> {
    match effects {
        [] => None,
        [Effect::DesiredChanged(patch), ..] => Some(Value::Object(patch.patch.clone())),
        other => panic!("{other:?}"),
    }
}

fn counters(twin: &Twin) -> (u64, u64, u64, u64) {
    (twin.service_writes, twin.version, twin.desired.version, twin.reported.version)
}

/// service-protocol Q.1.
#[test]
fn the_counters_follow_the_documented_sequence() {
    let twin = Twin::new(T0);
    assert_eq!(counters(&twin), (1, 2, 1, 1));
    let (twin, _) = patched(&twin, &tags(json!({"a": 1})), at(1));
    assert_eq!(counters(&twin), (2, 3, 1, 1));
    let twin = twin.reported(&object(json!({"fw": "1"})), None, Dialect::CURRENT, at(2)).unwrap();
    assert_eq!(counters(&twin), (2, 4, 1, 2));
    let (twin, _) = patched(&twin, &desired(json!({"x": {"y": 1}})), at(3));
    assert_eq!(counters(&twin), (3, 5, 2, 2));
    let both = TwinPatch {
        tags: Some(SectionPatch::Merge(object(json!({"b": 1})))),
        desired: Some(SectionPatch::Merge(object(json!({"z": 1})))),
    };
    let (twin, _) = patched(&twin, &both, at(4));
    assert_eq!(counters(&twin), (4, 6, 3, 2));
    let (twin, _) = twin.replaced(TwinReplacement::default(), Dialect::CURRENT, at(5)).unwrap();
    assert_eq!(counters(&twin), (5, 7, 4, 2));
}

#[test]
fn metadata_is_stamped_on_what_a_write_touches_and_above() {
    let (twin, _) = patched(&Twin::new(T0), &desired(json!({"x": {"y": 1}, "k": [1, 2]})), at(4));
    assert_eq!(
        Value::Object(twin.desired.metadata.to_json()),
        json!({
            "$lastUpdated": "1970-01-01T00:00:04Z", "$lastUpdatedVersion": 2,
            "x": {
                "$lastUpdated": "1970-01-01T00:00:04Z", "$lastUpdatedVersion": 2,
                "y": {"$lastUpdated": "1970-01-01T00:00:04Z", "$lastUpdatedVersion": 2},
            },
            "k": {"$lastUpdated": "1970-01-01T00:00:04Z", "$lastUpdatedVersion": 2},
        })
    );
    let (twin, _) = patched(&twin, &desired(json!({"x": {"y": null, "z": 2}})), at(5));
    assert_eq!(Value::Object(twin.desired.properties.clone()), json!({"x": {"z": 2}, "k": [1, 2]}));
    assert_eq!(
        Value::Object(twin.desired.metadata.to_json()),
        json!({
            "$lastUpdated": "1970-01-01T00:00:05Z", "$lastUpdatedVersion": 3,
            "x": {
                "$lastUpdated": "1970-01-01T00:00:05Z", "$lastUpdatedVersion": 3,
                "z": {"$lastUpdated": "1970-01-01T00:00:05Z", "$lastUpdatedVersion": 3},
            },
            "k": {"$lastUpdated": "1970-01-01T00:00:04Z", "$lastUpdatedVersion": 2},
        })
    );
}

#[test]
fn reported_metadata_knows_no_version() {
    let twin =
        Twin::new(T0).reported(&object(json!({"a": 1})), None, Dialect::CURRENT, at(1)).unwrap();
    assert_eq!(
        Value::Object(twin.reported.metadata.to_json()),
        json!({"$lastUpdated": "1970-01-01T00:00:01Z", "a": {"$lastUpdated": "1970-01-01T00:00:01Z"}})
    );
}

#[test]
fn the_device_is_told_the_patch_as_sent_and_what_a_replacement_removed() {
    let (twin, told_patch) =
        patched(&Twin::new(T0), &desired(json!({"a": 1, "b": 2, "n": null})), at(1));
    assert_eq!(told_patch, Some(json!({"a": 1, "b": 2, "n": null})));
    let content = TwinReplacement { tags: None, desired: Some(object(json!({"a": 1, "c": 100}))) };
    let (twin, effects) = twin.replaced(content, Dialect::CURRENT, at(2)).unwrap();
    assert_eq!(told(&effects), Some(json!({"b": null, "a": 1, "c": 100})));
    assert_eq!(Value::Object(twin.desired.properties.clone()), json!({"a": 1, "c": 100}));
    let clear = TwinPatch { tags: None, desired: Some(SectionPatch::Clear) };
    let (twin, told_patch) = patched(&twin, &clear, at(3));
    assert_eq!(told_patch, Some(json!({"a": null, "c": null})));
    assert!(twin.desired.properties.is_empty());
}

#[test]
fn a_patch_of_equal_values_counts_and_is_told() {
    let (twin, _) = patched(&Twin::new(T0), &desired(json!({"a": 1})), at(1));
    let (again, told_patch) = patched(&twin, &desired(json!({"a": 1})), at(2));
    assert_eq!(again.desired.version, twin.desired.version + 1);
    assert_eq!(told_patch, Some(json!({"a": 1})));
}

#[test]
fn a_patch_of_tags_alone_leaves_desired_properties_alone() {
    let (twin, told_patch) = patched(&Twin::new(T0), &tags(json!({"a": {"b": 1}})), at(1));
    assert_eq!((twin.desired.version, told_patch), (1, None));
    let (twin, _) = patched(&twin, &tags(json!({"a": {"b": null}})), at(2));
    assert_eq!(twin.tags, Some(object(json!({"a": {}}))));
}

#[test]
fn a_stale_reported_version_is_refused() {
    let twin = Twin::new(T0);
    let patch = object(json!({"a": 1}));
    assert!(twin.reported(&patch, Some(1), Dialect::CURRENT, T0).is_ok());
    assert_eq!(
        twin.reported(&patch, Some(2), Dialect::CURRENT, T0),
        Err(HubError::ReportedVersionMismatch { existing: 1, expected: 2 })
    );
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!({}), |inner, _| json!({ "level": inner }))
}

#[test]
fn rules_of_documents_hold() {
    let long_key = "k".repeat(1025);
    let long_text = "v".repeat(4097);
    let message =
        |value: Value| match Twin::new(T0).reported(&object(value), None, Dialect::CURRENT, T0) {
            Ok(_) => None,
            Err(HubError::ArgumentInvalid(message)) => Some(message),
            Err(other) => panic!("{other:?}"),
        };
    let bounds = "Valid values are between -4503599627370496 and 4503599627370495";
    let table = [
        (json!({"a": 1.5, "b": true, "c": "x", "d": null, "e": [], "f": {}}), None),
        (nested(10), None),
        (nested(11), Some("Nested depth of twin property exceeds 10".to_owned())),
        (
            (0..10).fold(json!([[]]), |inner, _| json!({ "l": inner })),
            Some("Nested depth of twin property exceeds 10".to_owned()),
        ),
        (json!({"a.b": 1}), Some("Property name a.b contains invalid character '.'".to_owned())),
        (json!({"$a": 1}), Some("Property name $a contains invalid character '$'".to_owned())),
        (json!({"a b": 1}), Some("Property name a b contains invalid character ' '".to_owned())),
        (
            json!({"a\u{1}": 1}),
            Some("Property name a\u{1} contains invalid character '\u{1}'".to_owned()),
        ),
        (
            json!({ long_key.as_str(): 1 }),
            Some("Length of property name kkkkkkkkkk.. exceeds maximum length of 1024".to_owned()),
        ),
        (
            json!({ "a": long_text }),
            Some("Value associated with property name a has length 4097 that exceeds maximum length of 4096".to_owned()),
        ),
        (json!({"a": 4_503_599_627_370_495_i64}), None),
        (json!({"a": -4_503_599_627_370_496_i64}), None),
        (
            json!({"a": 4_503_599_627_370_496_i64}),
            Some(format!("Property a has an out of bound value. {bounds}")),
        ),
        (json!({"a": u64::MAX}), Some(format!("Property a has an out of bound value. {bounds}"))),
        (json!({"a": [1, null]}), Some("Arrays cannot contain 'null' as value".to_owned())),
        (
            json!({"a": [{"b": null}]}),
            Some("Value of Property or Tag cannot be null".to_owned()),
        ),
    ];
    for (document, expected) in table {
        assert_eq!(message(document.clone()), expected, "{document}");
    }
}

#[test]
fn old_api_versions_know_no_arrays_and_replacements_no_nulls() {
    let old = Dialect { arrays: false };
    let refused = Twin::new(T0).patched(&desired(json!({"a": {"b": [1]}})), old, T0);
    assert!(matches!(refused, Err(HubError::ArgumentInvalid(why)) if why.contains("arrays")));
    let content = TwinReplacement { tags: None, desired: Some(object(json!({"a": null}))) };
    let refused = Twin::new(T0).replaced(content, Dialect::CURRENT, T0);
    assert!(matches!(refused, Err(HubError::ArgumentInvalid(why)) if why.contains("null")));
}

#[test]
fn a_section_may_not_outgrow_its_limit() {
    let block = "v".repeat(4096 - 2);
    // Eight properties of 2 + 4094 bytes are 32768.
    let full: Document = (0..8).map(|index| (format!("k{index}"), json!(block.as_str()))).collect();
    let mut fits = full.clone();
    fits.insert("k7".to_owned(), json!("v".repeat(4093)));
    let too_large = Err(HubError::TwinTooLarge { section: "Properties.Reported", max: 32768 });
    let grown = Twin::new(T0).reported(&full, None, Dialect::CURRENT, T0);
    assert_eq!(grown.map(drop), too_large.clone().map(|_: Twin| ()));
    let twin = Twin::new(T0).reported(&fits, None, Dialect::CURRENT, T0).unwrap();
    let more = twin.reported(&object(json!({"x": ""})), None, Dialect::CURRENT, T0);
    assert_eq!(more, too_large);
    let less = object(json!({"k0": null}));
    assert!(twin.reported(&less, None, Dialect::CURRENT, T0).is_ok());
}

fn any_json(depth: u32) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z]{0,3}".prop_map(Value::from),
        prop::collection::vec(any::<u8>().prop_map(Value::from), 0..3).prop_map(Value::from),
    ];
    leaf.prop_recursive(depth, 32, 4, |inner| {
        prop::collection::btree_map("[a-d]", inner, 0..4)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    })
}

fn any_document() -> impl Strategy<Value = Document> {
    prop::collection::btree_map("[a-d]", any_json(3), 0..4)
        .prop_map(|members| members.into_iter().collect())
}

/// RFC 7396, section 2, word for word: the model that ours is held against.
fn merge_patch(target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut target = match target {
        Value::Object(target) => target,
        _ => Document::new(),
    };
    for (name, value) in patch {
        if value.is_null() {
            target.shift_remove(name);
        } else {
            let old = target.get(name).cloned().unwrap_or(Value::Null);
            target.insert(name.clone(), merge_patch(old, value));
        }
    }
    Value::Object(target)
}

/// The names in a metadata object without the service's own.
fn shape_of_metadata(metadata: &Document) -> Value {
    let members = metadata.iter().filter(|(name, _)| !name.starts_with('$'));
    Value::Object(
        members
            .map(|(name, member)| (name.clone(), shape_of_metadata(member.as_object().unwrap())))
            .collect(),
    )
}

fn shape_of_values(document: &Document) -> Value {
    let shape = |value: &Value| match value {
        Value::Object(object) => shape_of_values(object),
        _ => json!({}),
    };
    Value::Object(document.iter().map(|(name, value)| (name.clone(), shape(value))).collect())
}

proptest! {
    #[test]
    fn merging_follows_rfc_7396(target in any_document(), patch in any_document()) {
        let mut target = object(merge_patch(json!({}), &Value::Object(target)));
        let expected = merge_patch(Value::Object(target.clone()), &Value::Object(patch.clone()));
        merge(&mut target, &patch);
        prop_assert_eq!(Value::Object(target), expected);
    }

    #[test]
    fn metadata_has_the_shape_of_the_properties(patches in prop::collection::vec(any_document(), 1..5)) {
        let mut twin = Twin::new(T0);
        for patch in patches {
            twin = patched(&twin, &desired(Value::Object(patch)), at(1)).0;
            prop_assert_eq!(
                shape_of_metadata(&twin.desired.metadata.to_json()),
                shape_of_values(&twin.desired.properties)
            );
        }
    }
}
