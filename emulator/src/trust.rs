//! Adding the certificate authority to what the machine trusts, for clients that know no other
//! list: libcurl, and with it the C and the first Python service clients.
//!
//! What to do is decided over facts ([`Store::find`], [`Store::steps`]); [`apply`] does it, or
//! says which command is left to the user.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The name of the certificate in the system's store. One name for all state directories: the
/// latest one installed replaces the others, so that none is trusted for good by accident.
const NAME: &str = "iothub-emulator";

/// What keeps the system's list of trusted authorities.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Store {
    /// Debian, Ubuntu, Alpine.
    Debian,
    /// Fedora, Red Hat, Amazon Linux.
    Fedora,
    /// macOS.
    MacOs,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    /// Trust the authority.
    Install,
    /// Trust it no longer.
    Uninstall,
}

/// One thing to do, which shows as the shell command that does it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// Copy a file.
    Copy(PathBuf, PathBuf),
    /// Remove a file, if it is there.
    Remove(PathBuf),
    /// Run a program.
    Run(&'static str, Vec<String>),
}

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    /// The operating system refused.
    #[error("`{0}` failed: {1}")]
    Refused(Step, io::Error),
    /// The program said no.
    #[error("`{0}` failed: {1}")]
    Failed(Step, std::process::ExitStatus),
}

impl Store {
    /// The store of this machine, told by the directories that it has.
    pub(crate) fn find(system: &str, is_directory: impl Fn(&str) -> bool) -> Option<Self> {
        match system {
            "macos" => Some(Self::MacOs),
            // Fedora first: it also has the other's directory where a package brought it along.
            "linux" if is_directory(FEDORA_DIRECTORY) => Some(Self::Fedora),
            "linux" if is_directory("/usr/share/ca-certificates") => Some(Self::Debian),
            "linux" if is_directory(DEBIAN_DIRECTORY) => Some(Self::Debian),
            _ => None,
        }
    }

    /// What a change needs, in order.
    pub(crate) fn steps(self, change: Change, ca_file: &Path) -> Vec<Step> {
        match (self, change) {
            (Self::MacOs, Change::Install) => vec![security(
                &["add-trusted-cert", "-d", "-r", "trustRoot", "-k", SYSTEM_KEYCHAIN],
                ca_file,
            )],
            (Self::MacOs, Change::Uninstall) => {
                vec![security(&["remove-trusted-cert", "-d"], ca_file)]
            }
            (Self::Debian | Self::Fedora, Change::Install) => {
                vec![Step::Copy(ca_file.to_owned(), self.installed()), self.refresh()]
            }
            (Self::Debian | Self::Fedora, Change::Uninstall) => {
                vec![Step::Remove(self.installed()), self.refresh()]
            }
        }
    }

    fn installed(self) -> PathBuf {
        let directory = match self {
            Self::Fedora => FEDORA_DIRECTORY,
            _ => DEBIAN_DIRECTORY,
        };
        // Debian's tool takes no other ending.
        Path::new(directory).join(NAME).with_extension("crt")
    }

    fn refresh(self) -> Step {
        match self {
            Self::Fedora => Step::Run("update-ca-trust", vec!["extract".to_owned()]),
            _ => Step::Run("update-ca-certificates", Vec::new()),
        }
    }
}

const DEBIAN_DIRECTORY: &str = "/usr/local/share/ca-certificates";
const FEDORA_DIRECTORY: &str = "/etc/pki/ca-trust/source/anchors";
const SYSTEM_KEYCHAIN: &str = "/Library/Keychains/System.keychain";

fn security(arguments: &[&str], ca_file: &Path) -> Step {
    let file = ca_file.display().to_string();
    let arguments = arguments.iter().map(|argument| (*argument).to_owned()).chain([file]);
    Step::Run("security", arguments.collect())
}

/// Takes the steps in order, up to the first that fails.
pub(crate) fn apply(steps: &[Step]) -> Result<(), StepError> {
    steps.iter().try_for_each(Step::take)
}

impl Step {
    fn take(&self) -> Result<(), StepError> {
        let done = match self {
            Self::Copy(from, to) => copy(from, to),
            Self::Remove(path) => remove(path),
            Self::Run(program, arguments) => {
                let status = Command::new(program).args(arguments).status();
                match status {
                    Ok(status) if !status.success() => {
                        return Err(StepError::Failed(self.clone(), status));
                    }
                    status => status.map(drop),
                }
            }
        };
        done.map_err(|error| StepError::Refused(self.clone(), error))
    }
}

/// The directory is missing where no authority was ever added (Alpine).
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    to.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::copy(from, to).map(drop)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // `install` makes the directory too.
            Self::Copy(from, to) => {
                write!(f, "install -D -m 644 {} {}", quoted(from), quoted(to))
            }
            Self::Remove(path) => write!(f, "rm -f {}", quoted(path)),
            Self::Run(program, arguments) => {
                f.write_str(program)?;
                arguments.iter().try_for_each(|argument| write!(f, " {}", quoted(argument)))
            }
        }
    }
}

/// A word of a shell command, in quotes if it needs any.
fn quoted(word: impl AsRef<Path>) -> String {
    let word = word.as_ref().display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@".contains(c);
    if word.chars().all(plain) { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_is_told_by_the_directories() {
        let table: [(&str, &[&str], Option<Store>); 6] = [
            ("linux", &["/usr/share/ca-certificates", DEBIAN_DIRECTORY], Some(Store::Debian)),
            ("linux", &["/usr/share/ca-certificates"], Some(Store::Debian)),
            ("linux", &[FEDORA_DIRECTORY, "/usr/share/ca-certificates"], Some(Store::Fedora)),
            ("linux", &[], None),
            ("macos", &[], Some(Store::MacOs)),
            ("windows", &[], None),
        ];
        for (system, directories, expected) in table {
            let found = Store::find(system, |path| directories.contains(&path));
            assert_eq!(found, expected, "{system} {directories:?}");
        }
    }

    #[test]
    fn each_store_has_its_commands() {
        let table: [(Store, Change, &[&str]); 6] = [
            (
                Store::Debian,
                Change::Install,
                &[
                    "install -D -m 644 '/a b/ca.pem' /usr/local/share/ca-certificates/iothub-emulator.crt",
                    "update-ca-certificates",
                ],
            ),
            (
                Store::Debian,
                Change::Uninstall,
                &[
                    "rm -f /usr/local/share/ca-certificates/iothub-emulator.crt",
                    "update-ca-certificates",
                ],
            ),
            (
                Store::Fedora,
                Change::Install,
                &[
                    "install -D -m 644 '/a b/ca.pem' /etc/pki/ca-trust/source/anchors/iothub-emulator.crt",
                    "update-ca-trust extract",
                ],
            ),
            (
                Store::Fedora,
                Change::Uninstall,
                &[
                    "rm -f /etc/pki/ca-trust/source/anchors/iothub-emulator.crt",
                    "update-ca-trust extract",
                ],
            ),
            (
                Store::MacOs,
                Change::Install,
                &[
                    "security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain '/a b/ca.pem'",
                ],
            ),
            (Store::MacOs, Change::Uninstall, &["security remove-trusted-cert -d '/a b/ca.pem'"]),
        ];
        for (store, change, expected) in table {
            let steps = store.steps(change, Path::new("/a b/ca.pem"));
            let shown: Vec<_> = steps.iter().map(ToString::to_string).collect();
            assert_eq!(shown, expected, "{store:?} {change:?}");
        }
    }

    #[test]
    fn files_are_copied_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("new/to"));
        fs::write(&from, "x").unwrap();
        apply(&[Step::Copy(from, to.clone())]).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "x");
        apply(&[Step::Remove(to.clone()), Step::Remove(to.clone())]).unwrap();
        assert!(!to.exists());
    }

    #[test]
    fn a_step_that_fails_is_named() {
        let missing = Step::Run("no-such-program", vec!["x y".to_owned()]);
        let error = apply(&[missing]).unwrap_err().to_string();
        assert!(error.starts_with("`no-such-program 'x y'` failed: "), "{error}");
    }
}
