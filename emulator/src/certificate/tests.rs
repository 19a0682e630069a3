use std::fs;
use std::net::IpAddr;
use std::process::Command;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};

use super::*;
use crate::config::HostName;

const NOW: u64 = 1_795_000_000;

fn after(days: u64) -> Timestamp {
    Timestamp::from_unix_seconds(NOW + days * DAY.as_secs())
}

/// A state directory, and a configuration that names it.
struct Installation {
    dir: tempfile::TempDir,
    config: Config,
}

impl Installation {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { state_dir: Some(dir.path().to_owned()), ..Config::default() };
        Self { dir, config }
    }

    fn with_algorithm(algorithm: KeyAlgorithm) -> Self {
        let mut installation = Self::new();
        installation.config.key_algorithm = Some(algorithm);
        installation
    }

    fn prepare(&self, now: Timestamp) -> Result<Certificates, CertificateError> {
        Certificates::prepare(&self.config, now)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
}

/// Shakes hands in memory, as a client that trusts `ca` and expects `name`.
fn handshake(
    ca: &AuthorityCertificate,
    tls: &Certificates,
    name: &str,
) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let now = TimeOfTest(NOW);
    let client = ClientConfig::builder_with_details(provider, Arc::new(now))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    let mut server = ServerConnection::new(tls.tls())?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        server.read_tls(&mut bytes.as_slice()).unwrap();
        server.process_new_packets()?;
        bytes.clear();
        server.write_tls(&mut bytes).unwrap();
        client.read_tls(&mut bytes.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}

#[derive(Debug)]
struct TimeOfTest(u64);

impl rustls::time_provider::TimeProvider for TimeOfTest {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        Some(rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(self.0)))
    }
}

#[test]
fn a_client_that_trusts_the_authority_accepts_every_name() {
    let mut installation = Installation::new();
    installation.config.bind = IpAddr::from([192, 0, 2, 1]);
    installation.config.hostname = HostName::parse("Hub.Example.Test").unwrap();
    installation.config.aliases = vec![HostName::parse("127.0.0.7").unwrap()];
    let certificates = installation.prepare(after(0)).unwrap();
    for name in [
        "localhost",
        "127.0.0.1",
        "::1",
        "192.0.2.1",
        "127.0.0.7",
        "hub.example.test",
        "my-hub.azure-devices.net",
        "my-hub.device.azure-devices.net",
        "my-hub.service.azure-devices.net",
        "global.azure-devices-provisioning.net",
    ] {
        handshake(certificates.authority(), &certificates, name)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    for name in ["example.test", "127.0.0.8", "azure-devices.net"] {
        handshake(certificates.authority(), &certificates, name).unwrap_err();
    }
}

#[test]
fn without_a_state_directory_everything_is_in_memory() {
    let certificates = Certificates::prepare(&Config::default(), after(0)).unwrap();
    assert_eq!(certificates.ca_file(), None);
    handshake(certificates.authority(), &certificates, "127.0.0.1").unwrap();
    let other = Certificates::prepare(&Config::default(), after(0)).unwrap();
    handshake(other.authority(), &certificates, "127.0.0.1").unwrap_err();
}

#[test]
fn a_second_start_signs_nothing() {
    let installation = Installation::new();
    let first = installation.prepare(after(0)).unwrap();
    let files =
        [CA_FILE_NAME, CA_KEY_FILE_NAME, SERVER_FILE_NAME].map(|name| installation.read(name));
    assert_eq!(first.authority().pem(), files[0]);
    // Nor does it need the authority's key, which a careful owner may take away.
    fs::remove_file(installation.path(CA_KEY_FILE_NAME)).unwrap();
    let second = installation.prepare(after(300)).unwrap();
    assert_eq!(second.authority().fingerprint(), first.authority().fingerprint());
    assert_eq!(installation.read(SERVER_FILE_NAME), files[2]);
}

#[test]
fn the_server_certificate_is_issued_anew_when_it_will_not_do() {
    let mut installation = Installation::new();
    let first = installation.prepare(after(0)).unwrap();
    let mut last = installation.read(SERVER_FILE_NAME);

    let mut is_reissued = |installation: &Installation, now| {
        let certificates = installation.prepare(now).unwrap();
        assert_eq!(certificates.authority().pem(), first.authority().pem());
        let server = installation.read(SERVER_FILE_NAME);
        let changed = server != last;
        last = server;
        changed
    };
    assert!(!is_reissued(&installation, after(365)));
    assert!(is_reissued(&installation, after(367)), "about to expire");
    assert!(is_reissued(&installation, after(0)), "not yet valid");
    installation.config.hostname = HostName::parse("new.test").unwrap();
    assert!(is_reissued(&installation, after(0)), "a name is missing");
    installation.config.hostname = HostName::parse("127.0.0.1").unwrap();
    assert!(!is_reissued(&installation, after(0)), "a name too many does no harm");
}

#[test]
fn an_authority_about_to_expire_is_replaced() {
    let installation = Installation::new();
    let first = installation.prepare(after(0)).unwrap();
    let kept = installation.prepare(after(3619)).unwrap();
    assert_eq!(kept.authority().pem(), first.authority().pem());
    let replaced = installation.prepare(after(3621)).unwrap();
    assert_ne!(replaced.authority().pem(), first.authority().pem());
    assert_ne!(replaced.authority().subject(), first.authority().subject());
}

#[cfg(unix)]
#[test]
fn only_the_owner_reads_the_keys() {
    use std::os::unix::fs::PermissionsExt as _;

    let installation = Installation::new();
    installation.prepare(after(0)).unwrap();
    for (name, expected) in
        [(CA_KEY_FILE_NAME, 0o600), (SERVER_FILE_NAME, 0o600), (CA_FILE_NAME, 0o644)]
    {
        let mode = fs::metadata(installation.path(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, expected, "{name}");
    }
}

#[test]
fn many_first_starts_at_once_agree() {
    let installation = Installation::new();
    let fingerprints: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let certificates = installation.prepare(after(0)).unwrap();
                    handshake(certificates.authority(), &certificates, "127.0.0.1").unwrap();
                    certificates.authority().fingerprint()
                })
            })
            .collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    assert!(fingerprints.iter().all(|fingerprint| *fingerprint == fingerprints[0]));
}

#[test]
fn a_file_that_is_wrong_is_named() {
    let foreign = Installation::new();
    foreign.prepare(after(0)).unwrap();
    let key = foreign.read(CA_KEY_FILE_NAME);
    let server = foreign.read(SERVER_FILE_NAME);
    let garbled = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let remove = ": remove it to have a new one made";
    let table = [
        (CA_FILE_NAME, "", " holds no PEM certificate", remove),
        (CA_FILE_NAME, garbled, " holds a certificate that cannot be read", remove),
        (CA_FILE_NAME, &server, " holds a certificate that is no authority", remove),
        (SERVER_FILE_NAME, "x", " holds no PEM certificate", remove),
        (SERVER_FILE_NAME, garbled, " holds a certificate that cannot be read", remove),
        (CA_KEY_FILE_NAME, "x", " holds no PEM private key in the form PKCS #8", remove),
        (CA_KEY_FILE_NAME, &key, " holds a key that does not fit the certificate", remove),
        (
            CA_KEY_FILE_NAME,
            "gone",
            " is missing",
            ": remove ca.pem too to have a new authority made",
        ),
    ];
    for (name, content, defect, remedy) in table {
        let mut installation = Installation::new();
        installation.prepare(after(0)).unwrap();
        match content {
            "gone" => fs::remove_file(installation.path(name)).unwrap(),
            content => fs::write(installation.path(name), content).unwrap(),
        }
        // Something has to be signed, so that the key is looked at.
        installation.config.hostname = HostName::parse("new.test").unwrap();
        let expected = format!("{}{defect}{remedy}", installation.path(name).display());
        let error = installation.prepare(after(0)).unwrap_err();
        assert_eq!(error.to_string(), expected, "{content}");
    }
}

#[test]
fn a_missing_authority_is_made_with_all_that_depends_on_it() {
    let installation = Installation::new();
    let first = installation.prepare(after(0)).unwrap();
    fs::remove_file(installation.path(CA_FILE_NAME)).unwrap();
    let second = installation.prepare(after(0)).unwrap();
    assert_ne!(second.authority().pem(), first.authority().pem());
    handshake(second.authority(), &second, "127.0.0.1").unwrap();
}

#[test]
fn rsa_keys_are_made_on_request_and_kept() {
    let mut installation = Installation::with_algorithm(KeyAlgorithm::Rsa);
    let first = installation.prepare(after(0)).unwrap();
    assert_eq!(first.authority().algorithm(), KeyAlgorithm::Rsa);
    handshake(first.authority(), &first, "127.0.0.1").unwrap();

    installation.config.key_algorithm = None;
    let second = installation.prepare(after(0)).unwrap();
    assert_eq!(second.authority().pem(), first.authority().pem());

    installation.config.key_algorithm = Some(KeyAlgorithm::Ecdsa);
    let error = installation.prepare(after(0)).unwrap_err().to_string();
    let expected = format!(
        "{} has RSA keys, expected ECDSA P-256: choose another state directory, or remove the file \
         to have a new authority made",
        installation.path(CA_FILE_NAME).display()
    );
    assert_eq!(error, expected);
}

#[test]
fn a_server_certificate_with_another_s_key_is_named() {
    let installation = Installation::new();
    installation.prepare(after(0)).unwrap();
    let server = installation.read(SERVER_FILE_NAME);
    let (certificate, _) = server.split_once("-----BEGIN PRIVATE").unwrap();
    let mixed = format!("{certificate}{}", installation.read(CA_KEY_FILE_NAME));
    fs::write(installation.path(SERVER_FILE_NAME), mixed).unwrap();
    let error = installation.prepare(after(0)).unwrap_err().to_string();
    let expected = "server.pem holds a key that does not fit the certificate";
    assert!(error.contains(expected), "{error}");
}

/// The judgement of a verifier that is not ours, as strict as it can be.
#[test]
fn openssl_accepts_the_chain_strictly() {
    if Command::new("openssl").arg("version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "openssl is not installed");
        println!("skipped: openssl is not installed");
        return;
    }
    for algorithm in [KeyAlgorithm::Ecdsa, KeyAlgorithm::Rsa] {
        let installation = Installation::with_algorithm(algorithm);
        installation.prepare(after(0)).unwrap();
        let output = Command::new("openssl")
            .args(["verify", "-x509_strict", "-check_ss_sig", "-purpose", "sslserver"])
            .args(["-verify_hostname", "hub.azure-devices.net", "-verify_ip", "127.0.0.1"])
            .args(["-attime", &NOW.to_string(), "-CAfile"])
            .arg(installation.path(CA_FILE_NAME))
            .arg(installation.path(SERVER_FILE_NAME))
            .output()
            .unwrap();
        assert!(output.status.success(), "{algorithm}: {output:?}");
    }
}
