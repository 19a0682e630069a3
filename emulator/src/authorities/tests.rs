use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::*;

fn params(name: &str, is_ca: IsCa) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = is_ca;
    params
}

/// An authority with its certificate in a file.
struct Root {
    params: CertificateParams,
    key: KeyPair,
    file: PathBuf,
}

impl Root {
    fn new(dir: &Path) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = params("root", IsCa::Ca(BasicConstraints::Unconstrained));
        let file = dir.join("my root.pem");
        fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self { params, key, file }
    }

    fn issue(&self, name: &str) -> PathBuf {
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate =
            params(name, IsCa::NoCa).signed_by(&KeyPair::generate().unwrap(), &issuer);
        let file = self.file.with_file_name(format!("{name}.der"));
        fs::write(&file, certificate.unwrap().der()).unwrap();
        file
    }
}

fn now() -> Timestamp {
    Timestamp::from_unix_seconds(1_800_000_000)
}

#[test]
fn an_authority_is_registered_verified_and_removed() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = StateDir::open(temporary.path().join("state")).unwrap();
    let root = Root::new(temporary.path());
    let register = Register::of(&dir);
    let running = Authorities::new(&[], Some(dir.clone())).unwrap();
    let seen = || {
        let current = running.current();
        current.iter().map(|one| (one.name().to_owned(), one.is_verified())).collect::<Vec<_>>()
    };
    let random = Random::seeded(1);
    let add = |name: &str| register.add(&root.file, Some(name.to_owned()), false, &random);

    assert_eq!(seen(), []);
    let added = add("root").unwrap();
    assert_eq!(added.verification_code.len(), 48);
    assert_eq!(seen(), [("root".to_owned(), false)]);
    assert!(matches!(add("root"), Err(AuthorityError::Taken(_))));
    assert!(matches!(add("a root"), Err(AuthorityError::Name(_))));
    // under the file's name, which is none here
    let unnamed = register.add(&root.file, None, false, &random);
    assert!(matches!(unnamed, Err(AuthorityError::Name(_))));

    let wrong = register.verify("root", &root.issue("device"), now()).unwrap_err();
    assert!(wrong.to_string().ends_with(&format!("expected {:?}", added.verification_code)));
    let proof = root.issue(&added.verification_code);
    assert!(matches!(register.verify("x", &proof, now()), Err(AuthorityError::Unknown(_))));
    register.verify("root", &proof, now()).unwrap();
    assert_eq!(seen(), [("root".to_owned(), true)]);

    register.remove("root").unwrap();
    assert!(matches!(register.remove("root"), Err(AuthorityError::Unknown(_))));
    assert_eq!(seen(), []);
}

#[test]
fn those_of_the_configuration_are_verified() {
    let temporary = tempfile::tempdir().unwrap();
    let root = Root::new(temporary.path());
    let running = Authorities::new(std::slice::from_ref(&root.file), None).unwrap();
    assert!(running.current().iter().all(DeviceAuthority::is_verified));
    assert_eq!(running.current().len(), 1);
}

#[test]
fn what_is_wrong_is_named() {
    let temporary = tempfile::tempdir().unwrap();
    let root = Root::new(temporary.path());
    let text = temporary.path().join("text");
    fs::write(&text, "hello").unwrap();
    let missing = temporary.path().join("missing");
    let told = |file: &Path| Authorities::new(&[file.to_owned()], None).unwrap_err().to_string();
    assert!(told(&missing).contains(" cannot be read: "), "{}", told(&missing));
    assert!(told(&text).ends_with("text holds no certificate in PEM or DER"));
    let device = told(&root.issue("d1"));
    assert!(device.ends_with("\"CN=d1\" is no authority that may issue others here"), "{device}");

    let dir = StateDir::open(temporary.path().join("state")).unwrap();
    let running = Authorities::new(&[root.file], Some(dir.clone())).unwrap();
    dir.write(FILE_NAME, b"{", Readers::Owner).unwrap();
    // a hub that runs keeps what it knows; one that starts does not
    assert_eq!(running.current().len(), 1);
    let damaged = Authorities::new(&[], Some(dir)).unwrap_err().to_string();
    assert!(damaged.contains("is no list of authorities: "), "{damaged}");
}
