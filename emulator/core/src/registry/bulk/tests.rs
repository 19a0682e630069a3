use serde_json::json;

use super::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds)
}

fn item(mode: ImportMode, module: Option<&str>) -> BulkItem {
    BulkItem {
        id: IdentityId {
            device: DeviceId::parse("d").unwrap(),
            module: module.map(|module| ModuleId::parse(module).unwrap()),
        },
        mode,
        identity: IdentityDraft::default(),
        managed_by: None,
        etag: None,
        tags: None,
        desired: None,
        twin_etag: None,
    }
}

fn apply_to(current: Option<&Record>, item: &BulkItem) -> Result<Decided, HubError> {
    apply(current, item, Dialect { arrays: true }, at(5), &Random::seeded(1))
}

fn device() -> Record {
    apply_to(None, &item(ImportMode::Create, None)).unwrap().record.unwrap()
}

fn with_module() -> Record {
    apply_to(Some(&device()), &item(ImportMode::Create, Some("m"))).unwrap().record.unwrap()
}

fn object(value: serde_json::Value) -> Document {
    value.as_object().unwrap().clone()
}

/// What an item comes to: the name of its error, or what it does with the record.
fn outcome(current: Option<&Record>, item: &BulkItem) -> &'static str {
    match apply_to(current, item) {
        Err(why) => why.code().name,
        Ok(Decided { record: None, .. }) => "removed",
        Ok(Decided { record: Some(record), .. }) => match current {
            None => "created",
            Some(before) if before.modules.len() < record.modules.len() => "created",
            Some(before) if before.modules.len() > record.modules.len() => "removed",
            Some(before) if before.identity.version < record.identity.version => "updated",
            Some(before) if before.twin.version < record.twin.version => "twin updated",
            Some(before) if before.modules != record.modules => "module updated",
            Some(_) => "nothing",
        },
    }
}

#[test]
fn each_mode_does_what_it_is_named_for() {
    use ImportMode as M;

    let table = [
        (M::Create, "created", "DeviceAlreadyExists"),
        (M::CreateOrUpdate, "created", "updated"),
        (M::CreateOrUpdateIfMatch, "created", "updated"),
        (M::Update, "DeviceNotFound", "updated"),
        (M::UpdateIfMatch, "DeviceNotFound", "updated"),
        (M::Delete, "DeviceNotFound", "removed"),
        (M::DeleteIfMatch, "DeviceNotFound", "removed"),
        (M::UpdateTwin, "DeviceNotFound", "twin updated"),
        (M::UpdateTwinIfMatch, "DeviceNotFound", "twin updated"),
    ];
    for (mode, absent, present) in table {
        assert_eq!(outcome(None, &item(mode, None)), absent, "{mode:?}");
        assert_eq!(outcome(Some(&device()), &item(mode, None)), present, "{mode:?}");
    }
}

#[test]
fn each_mode_does_the_same_for_modules() {
    use ImportMode as M;

    let table = [
        (M::Create, "created", "ModuleAlreadyExistsOnDevice"),
        (M::CreateOrUpdate, "created", "module updated"),
        (M::CreateOrUpdateIfMatch, "created", "module updated"),
        (M::Update, "ModuleNotFound", "module updated"),
        (M::UpdateIfMatch, "ModuleNotFound", "module updated"),
        (M::Delete, "ModuleNotFound", "removed"),
        (M::DeleteIfMatch, "ModuleNotFound", "removed"),
        (M::UpdateTwin, "ModuleNotFound", "module updated"),
        (M::UpdateTwinIfMatch, "ModuleNotFound", "module updated"),
    ];
    for (mode, absent, present) in table {
        let item = item(mode, Some("m"));
        assert_eq!(outcome(None, &item), "DeviceNotFound", "{mode:?}");
        assert_eq!(outcome(Some(&device()), &item), absent, "{mode:?}");
        assert_eq!(outcome(Some(&with_module()), &item), present, "{mode:?}");
    }
}

#[test]
fn a_version_counts_in_the_modes_that_ask_for_it() {
    use ImportMode as M;

    let record = device();
    let right = record.identity.etag();
    let table = [
        (M::Update, true),
        (M::Delete, true),
        (M::CreateOrUpdate, true),
        (M::UpdateIfMatch, false),
        (M::DeleteIfMatch, false),
        (M::CreateOrUpdateIfMatch, false),
    ];
    for (mode, passes) in table {
        let with = |etag: ETag| BulkItem { etag: Some(etag), ..item(mode, None) };
        assert!(apply_to(Some(&record), &with(right.clone())).is_ok(), "{mode:?}");
        assert!(apply_to(Some(&record), &with(ETag::new("*"))).is_ok(), "{mode:?}");
        let stale = apply_to(Some(&record), &with(ETag::new("stale")));
        assert_eq!(stale.is_ok(), passes, "{mode:?}");
    }
    let twin = |mode, etag: &str| BulkItem {
        twin_etag: Some(ETag::new(etag)),
        tags: Some(object(json!({"a": 1}))),
        ..item(mode, None)
    };
    assert!(apply_to(Some(&record), &twin(M::UpdateTwin, "stale")).is_ok());
    assert!(apply_to(Some(&record), &twin(M::UpdateTwinIfMatch, "AAAAAAAAAAE=")).is_ok());
    assert!(matches!(
        apply_to(Some(&record), &twin(M::UpdateTwinIfMatch, "stale")),
        Err(HubError::TwinVersionMismatch(_))
    ));
}

#[test]
fn a_twin_comes_with_its_device() {
    let item = BulkItem {
        tags: Some(object(json!({"site": "a"}))),
        desired: Some(object(json!({"rate": 5}))),
        ..item(ImportMode::Create, None)
    };
    let twin = apply_to(None, &item).unwrap().record.unwrap().twin;
    assert_eq!((twin.version, twin.service_writes, twin.desired.version), (2, 1, 1));
    assert_eq!(twin.tags, item.tags);
    assert_eq!(
        serde_json::Value::Object(twin.desired.metadata.to_json()),
        json!({
            "$lastUpdated": "0001-01-01T00:00:00Z", "$lastUpdatedVersion": 1,
            "rate": {"$lastUpdated": "0001-01-01T00:00:00Z", "$lastUpdatedVersion": 1},
        })
    );
}

#[test]
fn identity_and_twin_fail_independently() {
    let tags = Some(object(json!({"a": "x".repeat(5000)})));
    let new = apply_to(None, &BulkItem { tags: tags.clone(), ..item(ImportMode::Create, None) });
    let new = new.unwrap();
    assert!(matches!(new.twin, TwinOutcome::LeftEmpty(HubError::ArgumentInvalid(_))));
    assert_eq!(new.record.unwrap().twin.tags, None);

    let record = device();
    let old = BulkItem { tags, ..item(ImportMode::Update, None) };
    let old = apply_to(Some(&record), &old).unwrap();
    assert!(matches!(old.twin, TwinOutcome::Refused(_)));
    let after = old.record.unwrap();
    assert_eq!(after.identity.version, record.identity.version + 1);
    assert_eq!(after.twin, record.twin);
}

#[test]
fn connections_follow() {
    let record = with_module();
    let count = |item: &BulkItem, effect: &Effect| {
        let effects = apply_to(Some(&record), item).unwrap().effects;
        effects.iter().filter(|(_, one)| one == effect).count()
    };
    assert_eq!(count(&item(ImportMode::Delete, None), &Effect::Deleted), 2);
    assert_eq!(count(&item(ImportMode::Delete, Some("m")), &Effect::Deleted), 1);
    let identity = IdentityDraft { status: Status::Disabled, ..IdentityDraft::default() };
    let disable = BulkItem { identity, ..item(ImportMode::Update, None) };
    assert_eq!(count(&disable, &Effect::Disabled), 2);
}

#[test]
fn an_identity_stands_once() {
    let (device, module) =
        (item(ImportMode::Create, None).id, item(ImportMode::Create, Some("m")).id);
    assert_eq!(check_unique([&device, &module]), Ok(()));
    let twice = check_unique([&device, &module, &device]);
    assert_eq!(twice, Err(HubError::DeviceDefinedMultipleTimes(device.clone())));
}
