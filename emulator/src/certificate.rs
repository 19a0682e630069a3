//! The emulator's certificates: an authority of the installation's own, and what it issues.
//!
//! The authority is made at the first start and kept, since people tell their SDKs, machines and
//! containers to trust it. The server certificate is a cache beside it: issued anew when a name is
//! missing in it or when it is about to expire. In the state directory these are
//!
//! | file | what | who reads it |
//! |---|---|---|
//! | `ca.pem` | the authority's certificate | whoever is to trust the emulator |
//! | `ca-key.pem` | its key | the owner |
//! | `server.pem` | the server certificate and its key | the owner |
//!
//! A start that finds everything in order reads `ca.pem` and `server.pem` and signs nothing.
//! Without a state directory the same is made in memory, for tests.

mod authority;
mod bad;
pub(crate) mod client;
mod key;
mod names;
mod server;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use iothub_admin::CertificateKind;
use iothub_core::time::Timestamp;
use time::OffsetDateTime;
use tokio_rustls::rustls;
use tokio_rustls::rustls::crypto::ring;

pub use self::authority::AuthorityCertificate;

use self::authority::Authority;
use self::names::SubjectNames;
use self::server::ServerCertificate;
use crate::config::{Config, KeyAlgorithm};
use crate::state_dir::{Readers, StateDir, StateError};

/// The file of the authority's certificate.
pub use iothub_wire::local::CA_FILE_NAME;
/// The file of the authority's key.
pub const CA_KEY_FILE_NAME: &str = "ca-key.pem";
/// The file of the server certificate and its key.
pub const SERVER_FILE_NAME: &str = "server.pem";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// What is valid for less than this is made anew.
const RENEWAL: Duration = Duration::from_secs(30 * DAY.as_secs());
/// Certificates begin in the past: the clocks of containers and virtual machines run apart.
const BACKDATING: Duration = DAY;

/// What the emulator serves TLS with.
#[derive(Clone, Debug)]
pub struct Certificates {
    authority: AuthorityCertificate,
    ca_file: Option<PathBuf>,
    tls: Arc<rustls::ServerConfig>,
    /// The authority with its key, where that is not in the state directory.
    signer: Option<Arc<Authority>>,
}

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The state directory does not do what it should.
    #[error(transparent)]
    State(#[from] StateError),
    /// A file is not what the emulator wrote there.
    #[error("{} {defect}: remove it to have a new one made", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        defect: Defect,
    },
    /// The key of the authority is gone, and something has to be signed.
    #[error("{} is missing: remove {CA_FILE_NAME} too to have a new authority made", .0.display())]
    NoAuthorityKey(PathBuf),
    /// The authority that there is has keys of another kind than the one asked for.
    #[error("{} has {found} keys, expected {wanted}: choose another state directory, or remove the file to have a new authority made", path.display())]
    Algorithm {
        /// The authority's certificate.
        path: PathBuf,
        /// The kind of its key.
        found: KeyAlgorithm,
        /// The kind asked for.
        wanted: KeyAlgorithm,
    },
    /// A certificate cannot be made.
    #[error("certificate cannot be made: {0}")]
    Making(#[from] rcgen::Error),
    /// A key cannot be made.
    #[error("key cannot be made: {0}")]
    Key(String),
    /// What was made or read does not serve TLS.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Defect {
    /// There is no certificate in it.
    #[error("holds no PEM certificate")]
    NoCertificate,
    /// There is no key in it.
    #[error("holds no PEM private key in the form PKCS #8")]
    NoKey,
    /// Its certificate cannot be read.
    #[error("holds a certificate that cannot be read")]
    Unreadable,
    /// Its certificate may not issue others.
    #[error("holds a certificate that is no authority")]
    NoAuthority,
    /// Its key is of a kind that the emulator does not make.
    #[error("holds a key that is neither ECDSA P-256 nor RSA")]
    KeyKind,
    /// Its key is that of another certificate.
    #[error("holds a key that does not fit the certificate")]
    Mismatch,
}

/// What the server certificate must be good for.
struct Wanted {
    algorithm: Option<KeyAlgorithm>,
    names: SubjectNames,
    now: Timestamp,
}

impl Certificates {
    /// Finds what is in the state directory, and makes what is missing in it.
    ///
    /// # Errors
    ///
    /// Names the file that is wrong, or what could not be done.
    pub fn prepare(config: &Config, now: Timestamp) -> Result<Self, CertificateError> {
        let names = SubjectNames::of(config);
        let wanted = Wanted { algorithm: config.key_algorithm, names, now };
        let Some(path) = &config.state_dir else {
            let authority = Authority::make(wanted.algorithm.unwrap_or_default(), now)?;
            let server = authority.issue(&wanted.names, now)?;
            let certificate = authority.certificate.clone();
            return Ok(Self {
                signer: Some(Arc::new(authority)),
                ..Self::new(certificate, None, server)?
            });
        };
        let dir = StateDir::open(path)?;
        let (authority, server) = kept(&dir, &wanted)?;
        Self::new(authority, Some(dir.file(CA_FILE_NAME)), server).map_err(|error| match error {
            // All else in the file was read: what is left to be wrong is its key.
            CertificateError::Tls(_) => CertificateError::File {
                path: dir.file(SERVER_FILE_NAME),
                defect: Defect::Mismatch,
            },
            other => other,
        })
    }

    fn new(
        authority: AuthorityCertificate,
        ca_file: Option<PathBuf>,
        server: ServerCertificate,
    ) -> Result<Self, CertificateError> {
        let tls = Arc::new(server_config(server)?);
        Ok(Self { authority, ca_file, tls, signer: None })
    }

    /// Serves TLS under the names of another configuration, with the same authority.
    ///
    /// # Errors
    ///
    /// The authority's key is gone.
    pub fn tls_for(
        &self,
        config: &Config,
        now: Timestamp,
    ) -> Result<Arc<rustls::ServerConfig>, CertificateError> {
        let server = self.signer(config)?.issue(&SubjectNames::of(config), now)?;
        Ok(Arc::new(server_config(server)?))
    }

    /// The same with a certificate that a client should refuse.
    pub(crate) fn bad_tls_for(
        &self,
        config: &Config,
        kind: CertificateKind,
        now: Timestamp,
    ) -> Result<Arc<rustls::ServerConfig>, CertificateError> {
        let server = bad::issue(&*self.signer(config)?, kind, &SubjectNames::of(config), now)?;
        Ok(Arc::new(server_config(server)?))
    }

    /// The authority with its key, from memory or from the state directory.
    fn signer(&self, config: &Config) -> Result<Arc<Authority>, CertificateError> {
        match (&self.signer, &config.state_dir) {
            (Some(authority), _) => Ok(Arc::clone(authority)),
            (None, Some(path)) => {
                with_key(&StateDir::open(path)?, self.authority.clone()).map(Arc::new)
            }
            (None, None) => Err(CertificateError::NoAuthorityKey(PathBuf::from(CA_KEY_FILE_NAME))),
        }
    }

    /// The authority to trust.
    pub fn authority(&self) -> &AuthorityCertificate {
        &self.authority
    }

    /// The file of the authority to trust; none where everything is in memory.
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// Serves TLS 1.2 and 1.3, and asks for a client's certificate without insisting on one.
    pub fn tls(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(&self.tls)
    }
}

impl AuthorityCertificate {
    /// Finds the authority in the state directory, and makes one where there is none.
    ///
    /// # Errors
    ///
    /// Names the file that is wrong, or what could not be done.
    pub fn prepare(
        dir: &StateDir,
        algorithm: Option<KeyAlgorithm>,
        now: Timestamp,
    ) -> Result<Self, CertificateError> {
        if let Some(found) = read_authority(dir, algorithm, now)? {
            return Ok(found);
        }
        let _lock = dir.lock()?;
        match read_authority(dir, algorithm, now)? {
            Some(found) => Ok(found),
            None => Ok(new_authority(dir, algorithm, now)?.certificate),
        }
    }
}

/// What is in the state directory, made under the lock as far as it is missing.
fn kept(
    dir: &StateDir,
    wanted: &Wanted,
) -> Result<(AuthorityCertificate, ServerCertificate), CertificateError> {
    // Without the lock, since nearly every start finds everything. Should another process replace
    // the files between the two reads, they do not fit, and the second look tells.
    if let Some(authority) = read_authority(dir, wanted.algorithm, wanted.now)?
        && let Some(server) = read_server(dir, &authority, wanted)?
    {
        return Ok((authority, server));
    }
    let _lock = dir.lock()?;
    let authority = match read_authority(dir, wanted.algorithm, wanted.now)? {
        Some(found) => match read_server(dir, &found, wanted)? {
            Some(server) => return Ok((found, server)),
            None => with_key(dir, found)?,
        },
        None => new_authority(dir, wanted.algorithm, wanted.now)?,
    };
    let server = authority.issue(&wanted.names, wanted.now)?;
    dir.write(SERVER_FILE_NAME, server.to_pem().as_bytes(), Readers::Owner)?;
    Ok((authority.certificate, server))
}

/// The authority, if there is one that stays valid for a while.
fn read_authority(
    dir: &StateDir,
    wanted: Option<KeyAlgorithm>,
    now: Timestamp,
) -> Result<Option<AuthorityCertificate>, CertificateError> {
    let Some(pem) = dir.read(CA_FILE_NAME)? else {
        return Ok(None);
    };
    let path = dir.file(CA_FILE_NAME);
    let found = AuthorityCertificate::parse(&pem)
        .map_err(|defect| CertificateError::File { path: path.clone(), defect })?;
    if let Some(wanted) = wanted.filter(|wanted| *wanted != found.algorithm()) {
        return Err(CertificateError::Algorithm { path, found: found.algorithm(), wanted });
    }
    if found.expires() < now.after(RENEWAL) {
        return Ok(None);
    }
    Ok(Some(found))
}

/// The server certificate, if there is one that will do.
fn read_server(
    dir: &StateDir,
    authority: &AuthorityCertificate,
    wanted: &Wanted,
) -> Result<Option<ServerCertificate>, CertificateError> {
    let Some(pem) = dir.read(SERVER_FILE_NAME)? else {
        return Ok(None);
    };
    let found = ServerCertificate::parse(&pem)
        .map_err(|defect| CertificateError::File { path: dir.file(SERVER_FILE_NAME), defect })?;
    Ok(Some(found).filter(|found| found.will_do(authority, &wanted.names, wanted.now)))
}

/// The authority with the key that it signs with.
fn with_key(
    dir: &StateDir,
    certificate: AuthorityCertificate,
) -> Result<Authority, CertificateError> {
    let path = dir.file(CA_KEY_FILE_NAME);
    let Some(pem) = dir.read(CA_KEY_FILE_NAME)? else {
        return Err(CertificateError::NoAuthorityKey(path));
    };
    Authority::parse(certificate, &pem).map_err(|defect| CertificateError::File { path, defect })
}

fn new_authority(
    dir: &StateDir,
    algorithm: Option<KeyAlgorithm>,
    now: Timestamp,
) -> Result<Authority, CertificateError> {
    let path = dir.file(CA_FILE_NAME);
    if path.exists() {
        tracing::warn!(file = %path.display(), "the authority expires and is replaced: trust the new one");
    }
    let authority = Authority::make(algorithm.unwrap_or_default(), now)?;
    // The key goes first: a certificate without its key would be there for good.
    dir.write(CA_KEY_FILE_NAME, authority.key_pem().as_bytes(), Readers::Owner)?;
    dir.write(CA_FILE_NAME, authority.certificate.pem().as_bytes(), Readers::Everyone)?;
    Ok(authority)
}

fn server_config(server: ServerCertificate) -> Result<rustls::ServerConfig, CertificateError> {
    let provider = Arc::new(ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(client::AnyClient::new())
        .with_single_cert(server.chain, server.key)?;
    // Sessions are resumed from what the client keeps, so that memory does not grow with clients.
    config.ticketer = ring::Ticketer::new()?;
    Ok(config)
}

/// A moment as certificates hold it: in whole seconds.
fn date(at: Timestamp) -> OffsetDateTime {
    let seconds = i64::try_from(at.unix_seconds()).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A moment as a certificate gave it, in seconds since 1970.
fn moment(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(u64::try_from(seconds).unwrap_or_default())
}

fn beginning(now: Timestamp) -> OffsetDateTime {
    let seconds = now.unix_seconds().saturating_sub(BACKDATING.as_secs());
    date(Timestamp::from_unix_seconds(seconds))
}

#[cfg(test)]
mod tests;
