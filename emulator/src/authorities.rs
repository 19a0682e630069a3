//! The certificate authorities whose devices may connect: the part of Azure's management plane
//! that registers them.
//!
//! They come from the configuration, where naming one is proof enough, and from a file in the state
//! directory that `iothub-emulator x509 ca` changes. A hub that runs sees a change at once: it
//! looks into the file for each device that shows a certificate.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use iothub_core::auth::x509::{CertificateFault, DeviceAuthorities, DeviceAuthority};
use iothub_core::random::Random;
use iothub_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

use crate::pem;
use crate::state_dir::{Readers, StateDir, StateError};

/// The file in the state directory.
pub const FILE_NAME: &str = "device-authorities.json";
/// Characters in a name. Documented for the service.
const NAME_CHARACTERS: usize = 64;

/// An authority as it is kept.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Registration {
    /// Its name, by which it is removed and verified.
    pub name: String,
    /// Its certificate in PEM.
    certificate: String,
    /// Whether its devices are let in.
    pub verified: bool,
    /// The common name of the certificate that verifies it.
    pub verification_code: String,
}

/// Why authorities cannot be had or changed.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The state directory does not do what it should.
    #[error(transparent)]
    State(#[from] StateError),
    /// The file in the state directory is damaged.
    #[error("{} is no list of authorities: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A file is neither PEM nor DER of a certificate.
    #[error("{} holds no certificate in PEM or DER", .0.display())]
    NoCertificate(PathBuf),
    /// A certificate is not what it should be.
    #[error("{}: {fault}", path.display())]
    Certificate {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        fault: CertificateFault,
    },
    /// A name is none.
    #[error("name is {0:?}, expected 1 to 64 letters, digits, hyphens, dots and underscores")]
    Name(String),
    /// A name is taken.
    #[error("there is an authority {0:?} already: remove it first, or give another --name")]
    Taken(String),
    /// There is no authority of this name.
    #[error("there is no authority {0:?}")]
    Unknown(String),
}

/// The list in the state directory.
#[derive(Debug)]
pub struct Register<'a>(&'a StateDir);

impl<'a> Register<'a> {
    /// The list in this directory.
    pub fn of(dir: &'a StateDir) -> Self {
        Self(dir)
    }

    /// What is in the list, ordered by name.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is damaged.
    pub fn list(&self) -> Result<Vec<Registration>, AuthorityError> {
        match self.0.read(FILE_NAME)? {
            None => Ok(Vec::new()),
            Some(bytes) => read_list(&self.0.file(FILE_NAME), &bytes),
        }
    }

    /// Registers the authority whose certificate is in `file`, by default under the file's name.
    ///
    /// # Errors
    ///
    /// The file holds no authority's certificate, or the name is taken or none.
    pub fn add(
        &self,
        file: &Path,
        name: Option<String>,
        verified: bool,
        random: &Random,
    ) -> Result<Registration, AuthorityError> {
        let stem = || file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let name = name.unwrap_or_else(stem);
        if !is_name(&name) {
            return Err(AuthorityError::Name(name));
        }
        let authority = authority(file, &name, verified)?;
        let added = Registration {
            name,
            certificate: pem::block("CERTIFICATE", authority.der()),
            verified,
            verification_code: verification_code(random),
        };
        self.change(|list| {
            if list.iter().any(|known| known.name == added.name) {
                return Err(AuthorityError::Taken(added.name.clone()));
            }
            list.push(added.clone());
            list.sort_by(|one, other| one.name.cmp(&other.name));
            Ok(())
        })?;
        Ok(added)
    }

    /// Removes an authority.
    ///
    /// # Errors
    ///
    /// There is none of this name.
    pub fn remove(&self, name: &str) -> Result<(), AuthorityError> {
        self.change(|list| {
            let before = list.len();
            list.retain(|known| known.name != name);
            if list.len() == before {
                Err(AuthorityError::Unknown(name.to_owned()))
            } else {
                Ok(())
            }
        })
    }

    /// Verifies an authority by the certificate in `file`, which it issued for its code.
    ///
    /// # Errors
    ///
    /// There is none of this name, or the certificate does not prove anything.
    pub fn verify(&self, name: &str, file: &Path, now: Timestamp) -> Result<(), AuthorityError> {
        let proof = certificate(file)?;
        self.change(|list| {
            let known = list
                .iter_mut()
                .find(|known| known.name == name)
                .ok_or_else(|| AuthorityError::Unknown(name.to_owned()))?;
            let fault = |fault| AuthorityError::Certificate { path: file.to_owned(), fault };
            let authority = known.authority().map_err(fault)?;
            let verified = authority.verified_by(&proof, &known.verification_code, now);
            known.verified = verified.map_err(fault)?.is_verified();
            Ok(())
        })
    }

    fn change(
        &self,
        change: impl FnOnce(&mut Vec<Registration>) -> Result<(), AuthorityError>,
    ) -> Result<(), AuthorityError> {
        let _lock = self.0.lock()?;
        let mut list = self.list()?;
        change(&mut list)?;
        let mut text = serde_json::to_vec_pretty(&list).unwrap_or_default();
        text.push(b'\n');
        Ok(self.0.write(FILE_NAME, &text, Readers::Owner)?)
    }
}

impl Registration {
    /// As the hub uses it.
    ///
    /// # Errors
    ///
    /// The certificate in the list is damaged.
    pub fn authority(&self) -> Result<DeviceAuthority, CertificateFault> {
        let der = CertificateDer::from_pem_slice(self.certificate.as_bytes())
            .map_err(|_| CertificateFault::Unreadable)?;
        DeviceAuthority::new(&self.name, der.to_vec(), self.verified)
    }
}

/// The authorities of a hub that runs.
#[derive(Debug)]
pub struct Authorities {
    configured: Vec<DeviceAuthority>,
    dir: Option<StateDir>,
    /// What was in the file when it was looked at last, and what that meant. A plain lock, since
    /// it is held for the reading of a small file.
    latest: Mutex<(Vec<u8>, Arc<[DeviceAuthority]>)>,
}

impl Authorities {
    /// Those of these files, and those of the state directory.
    ///
    /// # Errors
    ///
    /// Names the file that is wrong.
    pub fn new(files: &[PathBuf], dir: Option<StateDir>) -> Result<Self, AuthorityError> {
        let configured = files
            .iter()
            .map(|file| authority(file, &file.display().to_string(), true))
            .collect::<Result<Vec<_>, _>>()?;
        let latest = Mutex::new((Vec::new(), configured.clone().into()));
        let authorities = Self { configured, dir, latest };
        // A damaged file should show at the start.
        authorities.look()?;
        Ok(authorities)
    }

    fn look(&self) -> Result<Arc<[DeviceAuthority]>, AuthorityError> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(dir) = &self.dir else {
            return Ok(latest.1.clone());
        };
        let bytes = dir.read(FILE_NAME)?.unwrap_or_default();
        if bytes != latest.0 {
            let path = dir.file(FILE_NAME);
            let list = if bytes.is_empty() { Vec::new() } else { read_list(&path, &bytes)? };
            let kept = list.iter().map(Registration::authority).collect::<Result<Vec<_>, _>>();
            let kept = kept.map_err(|fault| AuthorityError::Certificate { path, fault })?;
            *latest = (bytes, self.configured.iter().cloned().chain(kept).collect());
        }
        Ok(latest.1.clone())
    }
}

impl DeviceAuthorities for Authorities {
    fn current(&self) -> Arc<[DeviceAuthority]> {
        self.look().unwrap_or_else(|error| {
            tracing::warn!(%error, "the authorities of devices are those of before");
            self.latest.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
        })
    }
}

fn read_list(path: &Path, bytes: &[u8]) -> Result<Vec<Registration>, AuthorityError> {
    serde_json::from_slice(bytes).map_err(|error| AuthorityError::Damaged {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

fn authority(file: &Path, name: &str, verified: bool) -> Result<DeviceAuthority, AuthorityError> {
    DeviceAuthority::new(name, certificate(file)?, verified)
        .map_err(|fault| AuthorityError::Certificate { path: file.to_owned(), fault })
}

/// The certificate of a file, in DER.
fn certificate(file: &Path) -> Result<Vec<u8>, AuthorityError> {
    let bytes = fs::read(file)
        .map_err(|source| AuthorityError::Unreadable { path: file.to_owned(), source })?;
    if let Ok(certificate) = CertificateDer::from_pem_slice(&bytes) {
        return Ok(certificate.to_vec());
    }
    // A SEQUENCE: whether it is one of a certificate shows when it is read.
    if bytes.first() == Some(&0x30) {
        return Ok(bytes);
    }
    Err(AuthorityError::NoCertificate(file.to_owned()))
}

/// The service's are as long.
fn verification_code(random: &Random) -> String {
    random.bytes::<24>().iter().map(|byte| format!("{byte:02X}")).collect()
}

fn is_name(text: &str) -> bool {
    (1..=NAME_CHARACTERS).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

#[cfg(test)]
mod tests;
