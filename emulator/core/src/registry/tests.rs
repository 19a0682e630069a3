use super::identity::{
    Authentication, AuthenticationDraft, AuthenticationKind, Status, SymmetricKeys, Thumbprints,
};
use super::*;
use crate::auth::sas::SymmetricKey;
use crate::ids::ETag;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn id() -> DeviceId {
    DeviceId::parse("d").unwrap()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds)
}

fn random() -> Random {
    Random::seeded(1)
}

fn created(draft: &IdentityDraft) -> Record {
    create(&id(), draft, at(0), &random()).unwrap()
}

fn with_authentication(authentication: AuthenticationDraft) -> IdentityDraft {
    IdentityDraft { authentication: Some(authentication), ..IdentityDraft::default() }
}

#[test]
fn a_new_device_gets_keys_and_a_generation() {
    let record = created(&IdentityDraft::default());
    let Authentication::Sas(keys) = &record.identity.authentication else {
        panic!("{:?}", record.identity.authentication)
    };
    assert_ne!(keys.primary, keys.secondary);
    assert_eq!(record.identity.generation.to_string(), "621355968000000000");
    assert_eq!(record.identity.status_updated, Timestamp::NEVER);
    assert_eq!(record.twin, Twin::new(at(0)));
}

#[test]
fn an_update_counts_and_keeps_what_is_not_said() {
    let record = created(&IdentityDraft::default());
    let disabled = IdentityDraft { status: Status::Disabled, ..IdentityDraft::default() };
    let updated = update(&record, &disabled, &Precondition::Exists, at(9), &random()).unwrap();
    assert_eq!(updated.identity.version, record.identity.version + 1);
    assert_eq!(updated.identity.authentication, record.identity.authentication);
    assert_eq!(updated.identity.generation, record.identity.generation);
    assert_eq!(updated.identity.status_updated, at(9));
    let again = update(&updated, &disabled, &Precondition::Exists, at(10), &random()).unwrap();
    assert_eq!(again.identity.status_updated, at(9), "the status did not change");
}

#[test]
fn an_update_demands_the_version_that_the_caller_read() {
    let record = created(&IdentityDraft::default());
    let own = Precondition::Matches(record.identity.etag());
    let other = Precondition::Matches(ETag::new("x"));
    let draft = IdentityDraft::default();
    assert!(update(&record, &draft, &own, at(1), &random()).is_ok());
    assert_eq!(
        update(&record, &draft, &other, at(1), &random()),
        Err(HubError::DeviceVersionMismatch {
            existing: record.identity.etag(),
            expected: ETag::new("x"),
        })
    );
}

#[test]
fn authentication_is_settled_by_what_was_given() {
    let key = || SymmetricKey::parse(KEY).unwrap();
    let sha1 = Thumbprints { primary: Some("A".repeat(40)), secondary: None };
    let keys = AuthenticationDraft {
        primary_key: Some(KEY.to_owned()),
        secondary_key: Some(KEY.to_owned()),
        ..AuthenticationDraft::default()
    };
    let table = [
        (keys, Authentication::Sas(SymmetricKeys { primary: key(), secondary: key() })),
        (
            AuthenticationDraft { thumbprints: sha1.clone(), ..AuthenticationDraft::default() },
            Authentication::SelfSigned(sha1),
        ),
        (
            AuthenticationDraft {
                kind: Some(AuthenticationKind::CertificateAuthority),
                ..AuthenticationDraft::default()
            },
            Authentication::CertificateAuthority,
        ),
    ];
    for (draft, expected) in table {
        assert_eq!(created(&with_authentication(draft)).identity.authentication, expected);
    }
}

#[test]
fn contradictory_authentication_is_refused() {
    let text = |text: &str| Some(text.to_owned());
    let thumbprints = |primary: &str, secondary: Option<&str>| Thumbprints {
        primary: text(primary),
        secondary: secondary.map(str::to_owned),
    };
    let table = [
        (
            AuthenticationDraft { primary_key: text(KEY), ..AuthenticationDraft::default() },
            "authentication has one symmetric key, expected both or none",
        ),
        (
            AuthenticationDraft {
                primary_key: text("AAAA"),
                secondary_key: text(KEY),
                ..AuthenticationDraft::default()
            },
            "primaryKey: symmetric key has 3 bytes, expected 16 to 64",
        ),
        (
            AuthenticationDraft {
                primary_key: text(KEY),
                secondary_key: text(KEY),
                thumbprints: thumbprints(&"a".repeat(40), None),
                ..AuthenticationDraft::default()
            },
            "authentication has both symmetric keys and thumbprints",
        ),
        (
            AuthenticationDraft {
                thumbprints: thumbprints("xyz", None),
                ..AuthenticationDraft::default()
            },
            "thumbprint is not 40 or 64 hexadecimal digits",
        ),
        (
            AuthenticationDraft {
                thumbprints: thumbprints(&"a".repeat(40), Some(&"b".repeat(64))),
                ..AuthenticationDraft::default()
            },
            "thumbprints have different lengths",
        ),
        (
            AuthenticationDraft {
                kind: Some(AuthenticationKind::SelfSigned),
                ..AuthenticationDraft::default()
            },
            "authentication of type selfSigned has no thumbprint",
        ),
        (
            AuthenticationDraft {
                kind: Some(AuthenticationKind::None),
                primary_key: text(KEY),
                secondary_key: text(KEY),
                ..AuthenticationDraft::default()
            },
            "authentication of this type has neither keys nor thumbprints",
        ),
    ];
    for (draft, expected) in table {
        let refused = create(&id(), &with_authentication(draft), at(0), &random());
        assert_eq!(refused, Err(HubError::ArgumentInvalid(expected.to_owned())));
    }
}

#[test]
fn a_status_reason_has_its_limit() {
    let draft = |length| IdentityDraft {
        status_reason: Some("x".repeat(length)),
        ..IdentityDraft::default()
    };
    assert!(create(&id(), &draft(128), at(0), &random()).is_ok());
    let refused = create(&id(), &draft(129), at(0), &random());
    let why = "statusReason has 129 characters, expected at most 128";
    assert_eq!(refused, Err(HubError::ArgumentInvalid(why.to_owned())));
}

#[test]
fn an_edge_device_defines_a_scope_and_a_leaf_lives_in_one() {
    let edge = created(&IdentityDraft { iot_edge: true, ..IdentityDraft::default() });
    let scope = edge.identity.device_scope.clone().unwrap();
    assert_eq!(scope, "ms-azure-iot-edge://d-621355968000000000");
    assert_eq!(scope_device(&scope), Some(id()));
    let leaf =
        created(&IdentityDraft { device_scope: Some(scope.clone()), ..IdentityDraft::default() });
    assert_eq!(leaf.identity.device_scope, Some(scope.clone()));
    assert_eq!(leaf.identity.parent_scopes, [scope]);
    assert_eq!(scope_device("nonsense"), None);
}
