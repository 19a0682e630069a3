use super::*;
use crate::auth::sas::{SymmetricKey, sign};
use crate::ids::DeviceId;
use crate::random::Random;
use crate::registry::identity::{DeviceIdentity, IdentityDraft, SymmetricKeys};

const SE: u64 = 1_893_456_000;

fn key(byte: u8) -> SymmetricKey {
    SymmetricKey::from_bytes([byte; 32])
}

fn id() -> IdentityId {
    DeviceId::parse("Dev").unwrap().into()
}

fn policies() -> Vec<SharedAccessPolicy> {
    let policy = |name: &str, byte, rights: &[AccessRight]| SharedAccessPolicy {
        name: name.to_owned(),
        primary: key(byte),
        secondary: key(byte + 1),
        rights: AccessRights::of(rights),
    };
    vec![
        policy("device", 10, &[AccessRight::DeviceConnect]),
        policy("service", 20, &[AccessRight::ServiceConnect]),
    ]
}

/// A device with the keys 1 and 2.
fn identity() -> DeviceIdentity {
    let record = crate::registry::create(
        &id().device,
        &IdentityDraft::default(),
        Timestamp::NEVER,
        &Random::seeded(1),
    );
    let keys = SymmetricKeys { primary: key(1), secondary: key(2) };
    DeviceIdentity { authentication: Authentication::Sas(keys), ..record.unwrap().identity }
}

fn credentials(identity: &DeviceIdentity) -> Option<Credentials<'_>> {
    Some(Credentials {
        generation: identity.generation,
        authentication: &identity.authentication,
        status: identity.status,
    })
}

fn token(resource: &str, policy: Option<&str>, byte: u8) -> SasToken {
    SasToken::parse(&sign(resource, SE, policy, &key(byte))).unwrap()
}

fn now(seconds_after_expiry: i64) -> Timestamp {
    Timestamp::from_unix_seconds(SE.saturating_add_signed(seconds_after_expiry))
}

fn check(token: &SasToken, now: Timestamp) -> Result<AuthMethod, Refusal> {
    device(token, &id(), credentials(&identity()), &policies(), now)
        .map(|principal| principal.method())
}

#[test]
fn devices_are_let_in_by_their_keys_and_by_policies() {
    let table = [
        ("h/devices/Dev", None, 1, Ok(AuthMethod::DeviceKey)),
        ("h%2fdevices%2FDev", None, 2, Ok(AuthMethod::DeviceKey)),
        ("h/devices/Dev/api-version=2016-11-14", None, 1, Ok(AuthMethod::DeviceKey)),
        ("h", Some("device"), 10, Ok(AuthMethod::Policy)),
        ("h/devices", Some("device"), 11, Ok(AuthMethod::Policy)),
        ("h/devices/Dev", Some("device"), 10, Ok(AuthMethod::Policy)),
        ("h/devices/Dev", None, 3, Err(Refusal::Signature("device Dev".to_owned()))),
        ("h/devices/dev", None, 1, Err(Refusal::Scope("h/devices/dev".to_owned()))),
        ("h/devices/Dev2", None, 1, Err(Refusal::Scope("h/devices/Dev2".to_owned()))),
        // A device's own key does not open the whole hub.
        ("h", None, 1, Err(Refusal::Scope("h".to_owned()))),
        ("h", Some("device"), 1, Err(Refusal::Signature("policy device".to_owned()))),
        ("h", Some("nobody"), 10, Err(Refusal::UnknownPolicy("nobody".to_owned()))),
        (
            "h",
            Some("service"),
            20,
            Err(Refusal::MissingRight {
                policy: "service".to_owned(),
                right: AccessRight::DeviceConnect,
            }),
        ),
    ];
    for (resource, policy, byte, expected) in table {
        assert_eq!(
            check(&token(resource, policy, byte), now(0)),
            expected,
            "{resource} {policy:?}"
        );
    }
}

#[test]
fn a_token_ends_with_five_minutes_of_grace_and_its_connection_with_ten() {
    let token = token("h/devices/Dev", None, 1);
    assert!(check(&token, now(299)).is_ok());
    assert_eq!(check(&token, now(300)), Err(Refusal::Expired(now(0))));
    let principal = device(&token, &id(), credentials(&identity()), &policies(), now(0)).unwrap();
    assert_eq!(principal.connection_ends(), Some(now(600)));
}

#[test]
fn identities_that_do_not_fit_are_refused() {
    let token = token("h/devices/Dev", None, 1);
    let with = |identity: Option<Credentials<'_>>| {
        device(&token, &id(), identity, &policies(), now(0)).map(drop)
    };
    assert_eq!(with(None), Err(Refusal::UnknownIdentity(id())));
    let disabled = DeviceIdentity { status: Status::Disabled, ..identity() };
    assert_eq!(with(credentials(&disabled)), Err(Refusal::Disabled(id())));
    let x509 =
        DeviceIdentity { authentication: Authentication::CertificateAuthority, ..identity() };
    assert_eq!(with(credentials(&x509)), Err(Refusal::WrongMethod(id())));
}

#[test]
fn back_ends_are_let_in_by_policies_alone() {
    let path = ["devices", "Dev"];
    let check = |token: &SasToken, now| service(token, &path, &policies(), now);
    let principal = check(&token("h", Some("service"), 21), now(0)).unwrap();
    assert_eq!(principal.require(AccessRight::ServiceConnect), Ok(()));
    assert_eq!(
        principal.require(AccessRight::RegistryRead),
        Err(Refusal::MissingRight {
            policy: "service".to_owned(),
            right: AccessRight::RegistryRead,
        })
    );
    let refused = |token: &SasToken, now| check(token, now).map(drop);
    assert_eq!(refused(&token("h", None, 1), now(0)), Err(Refusal::NoPolicy));
    assert_eq!(
        refused(&token("h/devices/Other", Some("service"), 20), now(0)),
        Err(Refusal::Scope("h/devices/Other".to_owned()))
    );
    assert_eq!(refused(&token("h", Some("service"), 20), now(300)), Err(Refusal::Expired(now(0))));
}
