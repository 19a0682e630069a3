//! The bundle: the system's trusted authorities and the emulator's, in one file.
//!
//! The variables that name a file of trusted authorities (`SSL_CERT_FILE`, `REQUESTS_CA_BUNDLE`)
//! replace the system's list. With the emulator's alone in it, the same shell could not reach
//! anything else over TLS.

use std::fs;
use std::path::{Path, PathBuf};

use crate::certificate::AuthorityCertificate;
use crate::pem;
use crate::state_dir::{Readers, StateDir, StateError};

/// The file in the state directory.
pub const FILE_NAME: &str = "bundle.pem";
/// Names the file of the authorities that OpenSSL trusts.
pub const SSL_CERT_FILE: &str = "SSL_CERT_FILE";

/// Where the Linux distributions and the BSDs keep their list: Debian, Arch and Alpine; Fedora;
/// openSUSE; Alpine's and BSD's other name for it.
const SYSTEM_FILES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Brings the bundle up to date and says where it is. Touches the file only if it changes, since
/// running programs may be reading it.
///
/// # Errors
///
/// The state directory cannot be read or written.
pub fn update(
    dir: &StateDir,
    authority: &AuthorityCertificate,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<PathBuf, StateError> {
    let path = dir.file(FILE_NAME);
    let bundle = join(roots(&path, variable), authority.pem());
    if dir.read(FILE_NAME)?.as_deref() != Some(bundle.as_bytes()) {
        dir.write(FILE_NAME, bundle.as_bytes(), Readers::Everyone)?;
    }
    Ok(path)
}

fn join(mut roots: String, authority: &str) -> String {
    if !roots.is_empty() && !roots.ends_with('\n') {
        roots.push('\n');
    }
    roots.push_str(authority);
    roots
}

/// The authorities trusted without the emulator, in PEM; empty where there are none, as in an
/// image made from scratch.
fn roots(bundle: &Path, variable: &dyn Fn(&str) -> Option<String>) -> String {
    let said = variable(SSL_CERT_FILE).map(PathBuf::from).filter(|said| !is_same(said, bundle));
    if let Some(roots) = said.and_then(|path| fs::read_to_string(path).ok()) {
        return roots;
    }
    // macOS and Windows keep more in their key stores than in any file.
    let files: &[&str] =
        if cfg!(any(target_vendor = "apple", windows)) { &[] } else { &SYSTEM_FILES };
    let from_file = files.iter().find_map(|path| fs::read_to_string(path).ok());
    from_file.unwrap_or_else(native_roots)
}

/// After `eval "$(iothub-emulator env)"` the variable names the bundle itself, from which a root
/// that the system no longer trusts would never vanish.
fn is_same(path: &Path, bundle: &Path) -> bool {
    let canonical = |path: &Path| fs::canonicalize(path).ok();
    path == bundle || canonical(path).is_some_and(|path| Some(path) == canonical(bundle))
}

fn native_roots() -> String {
    let found = rustls_native_certs::load_native_certs();
    found.certs.iter().map(|der| pem::block("CERTIFICATE", der)).collect()
}

#[cfg(test)]
mod tests {
    use iothub_core::time::Timestamp;

    use super::*;

    struct Fixture {
        _temporary: tempfile::TempDir,
        dir: StateDir,
        authority: AuthorityCertificate,
        roots: PathBuf,
    }

    impl Fixture {
        fn new() -> Self {
            let temporary = tempfile::tempdir().unwrap();
            let dir = StateDir::open(temporary.path().join("state")).unwrap();
            let now = Timestamp::from_unix_seconds(1_795_000_000);
            let authority = AuthorityCertificate::prepare(&dir, None, now).unwrap();
            let roots = temporary.path().join("roots.pem");
            fs::write(&roots, "ROOTS").unwrap();
            Self { _temporary: temporary, dir, authority, roots }
        }

        fn update(&self, ssl_cert_file: &Path) -> String {
            let value = ssl_cert_file.to_str().unwrap().to_owned();
            let variable = |name: &str| (name == SSL_CERT_FILE).then(|| value.clone());
            fs::read_to_string(update(&self.dir, &self.authority, &variable).unwrap()).unwrap()
        }
    }

    #[test]
    fn the_bundle_holds_what_was_trusted_before_and_the_emulator() {
        let fixture = Fixture::new();
        let expected = format!("ROOTS\n{}", fixture.authority.pem());
        assert_eq!(fixture.update(&fixture.roots), expected);
    }

    #[test]
    fn the_bundle_does_not_feed_on_itself() {
        let fixture = Fixture::new();
        fixture.update(&fixture.roots);
        let bundle = fixture.update(&fixture.dir.file(FILE_NAME));
        assert!(!bundle.contains("ROOTS"), "{bundle}");
        assert!(bundle.ends_with(fixture.authority.pem()));
    }

    #[test]
    fn a_bundle_that_is_right_stays_untouched() {
        let fixture = Fixture::new();
        fixture.update(&fixture.roots);
        let modified = || fs::metadata(fixture.dir.file(FILE_NAME)).unwrap().modified().unwrap();
        let before = modified();
        fixture.update(&fixture.roots);
        assert_eq!(modified(), before);
    }
}
