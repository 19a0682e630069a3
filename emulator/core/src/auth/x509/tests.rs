use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

use super::*;
use crate::ids::{DeviceId, GenerationId, ModuleId};

/// 2026-11-24, within [`V1_DEVICE`] too.
const NOW: u64 = 1_795_478_400;

/// Made by OpenSSL 3.0: `req -x509 -subj "/CN=Test root"`, and `x509 -req` of a request for
/// "/CN=Dev", which gives version 1.
const V1_ROOT: &str = "MIIBfzCCASWgAwIBAgIUS7UxynTcF1s0YyzbbUQJRagswoQwCgYIKoZIzj0EAwIwFDESMBAGA1UEAwwJ\
    VGVzdCByb290MCAXDTI2MTEyMzE2MDIwMFoYDzIxMjYxMDMwMTYwMjAwWjAUMRIwEAYDVQQDDAlUZXN0\
    IHJvb3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAReThM3pa+Ji6ySnnStLZEh86bdxexa2WrUtwtn\
    fZcFZy82OvH9DSjZBrMJ1wrlWekcFck6UO6qguVRU/Vcozexo1MwUTAdBgNVHQ4EFgQUyZoVxCdwi6B6\
    QM/QEOKTBIZHKFkwHwYDVR0jBBgwFoAUyZoVxCdwi6B6QM/QEOKTBIZHKFkwDwYDVR0TAQH/BAUwAwEB\
    /zAKBggqhkjOPQQDAgNIADBFAiEApjLP2gtx1ezDH0/VtxUQszwnqRHxvrkTtm+hiyfHXrICIHYC0y8P\
    sw7zTZVewN+9xKE2sIYf8vSN8FDiLgmfD9W3";
const V1_DEVICE: &str = "MIIBHjCBxAITK4Y+uwIXgCYymjltQ//8EbHn5TAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlUZXN0IHJv\
    b3QwIBcNMjYxMTIzMTYwMjAwWhgPMjEyNjEwMzAxNjAyMDBaMA4xDDAKBgNVBAMMA0RldjBZMBMGByqG\
    SM49AgEGCCqGSM49AwEHA0IABDGJZAxgX593TpXsa2HeDQrvgndIPDHHB1GLrOrBPzGv2BNK6ijX8v/r\
    hr44CASKaBd49+kfQdMwdA4KG4FYB7gwCgYIKoZIzj0EAwIDSQAwRgIhALlfJb+xuTiBg5TdNsqAjtqK\
    gccF58nu1Oa9qucRAwurAiEAt7bNT4IjE9prVnTMDh/huCcF8fk0OQv/XBTBxPTWx6E=";

/// Somebody who has a certificate and its key.
struct Party {
    params: CertificateParams,
    key: KeyPair,
    der: Vec<u8>,
}

impl Party {
    fn params(name: &str, authority: bool) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2027, 1, 1);
        if authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params
    }

    fn self_signed(params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { params, key, der }
    }

    fn root(name: &str) -> Self {
        Self::self_signed(Self::params(name, true))
    }

    fn issue(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let der = params.signed_by(&key, &issuer).unwrap().der().to_vec();
        Self { params, key, der }
    }

    fn device(&self, name: &str) -> Self {
        self.issue(Self::params(name, false))
    }

    fn registered(&self, verified: bool) -> DeviceAuthority {
        DeviceAuthority::new("root", self.der.clone(), verified).unwrap()
    }

    /// The chain that this party shows with these issuers.
    fn chain(&self, issuers: &[&Self]) -> CertificateChain {
        CertificateChain::new(&self.der, issuers.iter().map(|issuer| issuer.der.clone()))
    }
}

#[derive(Debug)]
struct Registered(Vec<DeviceAuthority>);

impl DeviceAuthorities for Registered {
    fn current(&self) -> Arc<[DeviceAuthority]> {
        self.0.clone().into()
    }
}

fn id() -> IdentityId {
    DeviceId::parse("Dev").unwrap().into()
}

fn credentials(authentication: &Authentication, status: Status) -> Option<Credentials<'_>> {
    Some(Credentials {
        generation: GenerationId::at(Timestamp::from_unix_seconds(NOW)),
        authentication,
        status,
    })
}

fn check_at(
    chain: &CertificateChain,
    authentication: Authentication,
    authorities: &[DeviceAuthority],
    now: u64,
) -> Result<AuthMethod, Refusal> {
    let registered = Registered(authorities.to_vec());
    let credentials = credentials(&authentication, Status::Enabled);
    let now = Timestamp::from_unix_seconds(now);
    device(chain, &id(), credentials, &registered, now).map(|principal| {
        assert_eq!(principal.connection_ends(), None);
        principal.method()
    })
}

/// What the hub says of a device of a certificate authority, in words.
fn by_authority(chain: &CertificateChain, authorities: &[DeviceAuthority]) -> Result<(), String> {
    check_at(chain, Authentication::CertificateAuthority, authorities, NOW)
        .map(|method| assert_eq!(method, AuthMethod::Certificate))
        .map_err(|refusal| refusal.to_string())
}

fn no(text: &str) -> Result<(), String> {
    Err(text.to_owned())
}

#[test]
fn a_thumbprint_is_known_in_every_spelling() {
    let shown = Party::root("whatever");
    let chain = shown.chain(&[]);
    let sha1 = hash(&digest::SHA1_FOR_LEGACY_USE_ONLY, &shown.der).to_string();
    let sha256 = thumbprint(&shown.der).to_string();
    let with_colons: Vec<_> =
        sha256.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect();
    let other = "0".repeat(64);
    let table = [
        (Some(sha1.clone()), None, true),
        (Some(sha256.clone()), None, true),
        (Some(sha256.to_lowercase()), None, true),
        (Some(with_colons.join(":")), None, true),
        (None, Some(sha1.to_lowercase()), true),
        (Some(other.clone()), Some(sha256), true),
        (Some(other), None, false),
        (None, None, false),
    ];
    for (primary, secondary, expected) in table {
        let known = Thumbprints { primary, secondary };
        let outcome = check_at(&chain, Authentication::SelfSigned(known.clone()), &[], NOW);
        assert_eq!(outcome.is_ok(), expected, "{known:?}");
    }
}

#[test]
fn a_mismatch_shows_what_was_expected() {
    let known = Thumbprints { primary: Some("AB".to_owned()), secondary: None };
    let chain = CertificateChain::new(b"x", []);
    let refusal = check_at(&chain, Authentication::SelfSigned(known), &[], NOW).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "Thumbprint does not match configuration: Thumbprint: \
         SHA1Hash=11F6AD8EC52A2984ABAAFD7C3B516503785C2072, \
         SHA2Hash=2D711642B726B04401627CA9FBAC32F5C8530FB1903CC4DB02258717921A4881; \
         Configuration: PrimaryThumbprint=AB, SecondaryThumbprint="
    );
}

#[test]
fn a_thumbprint_does_not_make_an_old_certificate_good() {
    let shown = Party::root("whatever");
    let known = Thumbprints { primary: Some(thumbprint(&shown.der).to_string()), secondary: None };
    let at = |now| check_at(&shown.chain(&[]), Authentication::SelfSigned(known.clone()), &[], now);
    assert!(at(NOW).is_ok());
    let table = [
        (1_700_000_000, "certificate \"CN=whatever\" is not valid before 2026-01-01T00:00:00Z"),
        (1_900_000_000, "certificate \"CN=whatever\" expired at 2027-01-01T00:00:00Z"),
    ];
    for (now, expected) in table {
        assert_eq!(at(now).unwrap_err().to_string(), expected);
    }
}

#[test]
fn a_chain_leads_to_an_authority() {
    let root = Party::root("root");
    let middle = root.issue(Party::params("middle", true));
    let lower = middle.issue(Party::params("lower", true));
    let (direct, deep) = (root.device("Dev"), lower.device("Dev"));
    let known = [root.registered(true)];
    let table = [
        ("issued by the root", direct.chain(&[]), &known[..]),
        ("with the root", direct.chain(&[&root]), &known),
        ("through two others", deep.chain(&[&lower, &middle]), &known),
        ("in another order", deep.chain(&[&root, &middle, &lower]), &known),
        ("one in the middle is registered", deep.chain(&[&lower]), &[middle.registered(true)]),
    ];
    for (what, chain, authorities) in table {
        assert_eq!(by_authority(&chain, authorities), Ok(()), "{what}");
    }
}

#[test]
fn a_chain_that_leads_elsewhere_is_refused() {
    let root = Party::root("root");
    // the same name, another key
    let imposter = Party::root("root");
    let mut old = Party::params("Dev", false);
    old.not_after = date_time_ymd(2026, 2, 1);
    let mut young = Party::params("Dev", false);
    young.not_before = date_time_ymd(2026, 12, 1);
    let mut short = Party::params("short", true);
    short.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let short = root.issue(short);
    let below_short = short.issue(Party::params("below", true));
    let device = root.device("Dev");
    let middle = root.issue(Party::params("middle", true));
    let known = [root.registered(true)];
    let table = [
        (
            root.device("dev").chain(&[]),
            no("certificate has the common name \"dev\", expected \"Dev\""),
        ),
        (root.issue(old).chain(&[]), no("certificate \"CN=Dev\" expired at 2026-02-01T00:00:00Z")),
        (
            root.issue(young).chain(&[]),
            no("certificate \"CN=Dev\" is not valid before 2026-12-01T00:00:00Z"),
        ),
        (
            imposter.device("Dev").chain(&[&imposter]),
            no(
                "certificate \"CN=root\" was issued by \"CN=root\", which is no authority of the hub",
            ),
        ),
        (
            middle.device("Dev").chain(&[]),
            no(
                "certificate \"CN=Dev\" was issued by \"CN=middle\", which is no authority of the hub",
            ),
        ),
        // a device is no authority, and an authority may allow no other below itself
        (
            device.device("Dev").chain(&[&device]),
            no("certificate \"CN=Dev\" is no authority that may issue others here"),
        ),
        (
            below_short.device("Dev").chain(&[&below_short, &short]),
            no("certificate \"CN=short\" is no authority that may issue others here"),
        ),
        (device.chain(&[&root; 9]), no("certificate comes with 9 issuers, expected at most 8")),
        (CertificateChain::new(b"0", []), no("certificate cannot be read")),
        (CertificateChain::new(&device.der, [b"0".to_vec()]), no("certificate cannot be read")),
    ];
    for (chain, expected) in table {
        assert_eq!(by_authority(&chain, &known), expected);
    }
    let unverified = no("authority \"root\" is registered with the hub but not verified");
    assert_eq!(by_authority(&device.chain(&[]), &[root.registered(false)]), unverified);
    let twice = [root.registered(false), root.registered(true)];
    assert_eq!(by_authority(&device.chain(&[]), &twice), Ok(()));
}

#[test]
fn a_certificate_of_version_1_is_taken() {
    let der = |base64: &str| STANDARD.decode(base64).unwrap();
    let root = DeviceAuthority::new("root", der(V1_ROOT), true).unwrap();
    let chain = CertificateChain::new(&der(V1_DEVICE), []);
    assert_eq!(by_authority(&chain, &[root]), Ok(()));
}

#[test]
fn a_module_is_named_behind_its_device() {
    let root = Party::root("root");
    let module = IdentityId { module: Some(ModuleId::parse("mod").unwrap()), ..id() };
    let check = |name: &str| {
        let chain = root.device(name).chain(&[]);
        let now = Timestamp::from_unix_seconds(NOW);
        check_chain(&chain, &module, &[root.registered(true)], now).is_ok()
    };
    let table = [("Dev/mod", true), ("Dev", false), ("mod", false), ("Dev/Mod", false)];
    for (name, expected) in table {
        assert_eq!(check(name), expected, "{name}");
    }
}

#[test]
fn identities_that_do_not_fit_are_refused() {
    let root = Party::root("root");
    let chain = root.device("Dev").chain(&[]);
    let known = Registered(vec![root.registered(true)]);
    let now = Timestamp::from_unix_seconds(NOW);
    let with = |credentials: Option<Credentials<'_>>| {
        device(&chain, &id(), credentials, &known, now).map(drop)
    };
    assert_eq!(with(None), Err(Refusal::UnknownIdentity(id())));
    let by_authority = Authentication::CertificateAuthority;
    assert_eq!(with(credentials(&by_authority, Status::Enabled)), Ok(()));
    let disabled = credentials(&by_authority, Status::Disabled);
    assert_eq!(with(disabled), Err(Refusal::Disabled(id())));
    let none = credentials(&Authentication::None, Status::Enabled);
    assert_eq!(with(none), Err(Refusal::NoCertificateDevice(id())));
}

#[test]
fn an_authority_is_verified_by_a_certificate_for_its_code() {
    let (root, other) = (Party::root("root"), Party::root("root"));
    let registered = root.registered(false);
    let verify = |proof: &Party| {
        let now = Timestamp::from_unix_seconds(NOW);
        registered.verified_by(&proof.der, "CODE", now).map_err(|fault| fault.to_string())
    };
    assert!(verify(&root.device("CODE")).unwrap().is_verified());
    assert!(verify(&root.device("code")).unwrap().is_verified());
    let table = [
        (root.device("Dev"), "certificate has the common name \"Dev\", expected \"CODE\""),
        (other.device("CODE"), "certificate \"CN=CODE\" was not issued by \"root\""),
    ];
    for (proof, expected) in table {
        assert_eq!(verify(&proof), Err(expected.to_owned()));
    }
    assert_eq!(
        DeviceAuthority::new("x", root.device("Dev").der, true),
        Err(CertificateFault::NoAuthority("CN=Dev".to_owned()))
    );
    assert_eq!(DeviceAuthority::new("x", b"0".to_vec(), true), Err(CertificateFault::Unreadable));
}

proptest::proptest! {
    #[test]
    fn a_certificate_that_was_changed_is_refused(place in 0_usize..10_000, change in 1_u8..) {
        let root = Party::root("root");
        let mut der = root.device("Dev").der;
        // What is signed; around it stand lengths and algorithms that nobody relies on.
        let (_, read) = x509_parser::parse_x509_certificate(&der).unwrap();
        let signed = read.tbs_certificate.as_ref();
        let start = der.windows(signed.len()).position(|window| window == signed).unwrap();
        let place = start + place % signed.len();
        der[place] ^= change;
        let chain = CertificateChain::new(&der, []);
        proptest::prop_assert!(by_authority(&chain, &[root.registered(true)]).is_err());
    }

    #[test]
    fn no_bytes_are_too_much(leaf: Vec<u8>, issuers: Vec<Vec<u8>>) {
        let chain = CertificateChain::new(&leaf, issuers);
        proptest::prop_assert!(by_authority(&chain, &[]).is_err());
        let _ = DeviceAuthority::new("x", leaf, true);
    }
}
