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
    Debian {
        /// Whether Java has a copy of the list.
        java: bool,
    },
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
    /// The store of this machine, told by what exists on it.
    pub(crate) fn find(system: &str, exists: impl Fn(&str) -> bool) -> Option<Self> {
        match system {
            "macos" => Some(Self::MacOs),
            // Fedora first: it also has the other's directory where a package brought it along.
            "linux" if exists(FEDORA_DIRECTORY) => Some(Self::Fedora),
            "linux" if exists("/usr/share/ca-certificates") => {
                Some(Self::Debian { java: exists(JAVA_HOOK) })
            }
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
            (Self::Fedora, Change::Install) => {
                vec![copy_to(FEDORA_DIRECTORY, ca_file), run("update-ca-trust", &["extract"])]
            }
            (Self::Fedora, Change::Uninstall) => {
                vec![remove_from(FEDORA_DIRECTORY), run("update-ca-trust", &["extract"])]
            }
            (Self::Debian { .. }, Change::Install) => {
                vec![copy_to(DEBIAN_DIRECTORY, ca_file), run("update-ca-certificates", &[])]
            }
            (Self::Debian { java }, Change::Uninstall) => {
                // Only a fresh start drops the links to what is gone.
                let refresh = run("update-ca-certificates", &["--fresh"]);
                let mut steps = vec![remove_from(DEBIAN_DIRECTORY), refresh];
                steps.extend(java.then(tell_java));
                steps
            }
        }
    }
}

const DEBIAN_DIRECTORY: &str = "/usr/local/share/ca-certificates";
const FEDORA_DIRECTORY: &str = "/etc/pki/ca-trust/source/anchors";
const SYSTEM_KEYCHAIN: &str = "/Library/Keychains/System.keychain";

/// Puts the system's list into the Java key store too, on Debian with Java.
const JAVA_HOOK: &str = "/etc/ca-certificates/update.d/jks-keystore";

/// Debian's tool tells the hook what was added, but not what was removed from the local directory;
/// without this Java would trust the authority for good.
fn tell_java() -> Step {
    let line = format!("echo -/etc/ssl/certs/{NAME}.pem | {JAVA_HOOK}");
    run("sh", &["-c", &line])
}

fn security(arguments: &[&str], ca_file: &Path) -> Step {
    let file = ca_file.display().to_string();
    run("security", &[arguments, &[file.as_str()]].concat())
}

fn copy_to(directory: &str, ca_file: &Path) -> Step {
    Step::Copy(ca_file.to_owned(), installed(directory))
}

fn remove_from(directory: &str) -> Step {
    Step::Remove(installed(directory))
}

/// Debian's tool takes no other ending.
fn installed(directory: &str) -> PathBuf {
    Path::new(directory).join(NAME).with_extension("crt")
}

fn run(program: &'static str, arguments: &[&str]) -> Step {
    Step::Run(program, arguments.iter().map(|argument| (*argument).to_owned()).collect())
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
    fn the_store_is_told_by_what_exists() {
        let debian = "/usr/share/ca-certificates";
        let table: [(&str, &[&str], Option<Store>); 6] = [
            ("linux", &[debian], Some(Store::Debian { java: false })),
            ("linux", &[debian, JAVA_HOOK], Some(Store::Debian { java: true })),
            ("linux", &[FEDORA_DIRECTORY, debian], Some(Store::Fedora)),
            ("linux", &[], None),
            ("macos", &[], Some(Store::MacOs)),
            ("windows", &[], None),
        ];
        for (system, existing, expected) in table {
            let found = Store::find(system, |path| existing.contains(&path));
            assert_eq!(found, expected, "{system} {existing:?}");
        }
    }

    #[test]
    fn each_store_has_its_commands() {
        use Change::{Install, Uninstall};
        let debian = Store::Debian { java: false };
        let debian_with_java = Store::Debian { java: true };
        let table = [
            (
                debian_with_java,
                Install,
                "install -D -m 644 '/a b/ca.pem' /usr/local/share/ca-certificates/iothub-emulator.crt\n\
                 update-ca-certificates\n",
            ),
            (
                debian,
                Uninstall,
                "rm -f /usr/local/share/ca-certificates/iothub-emulator.crt\n\
                 update-ca-certificates --fresh\n",
            ),
            (
                debian_with_java,
                Uninstall,
                "rm -f /usr/local/share/ca-certificates/iothub-emulator.crt\n\
                 update-ca-certificates --fresh\n\
                 sh -c 'echo -/etc/ssl/certs/iothub-emulator.pem | /etc/ca-certificates/update.d/jks-keystore'\n",
            ),
            (
                Store::Fedora,
                Install,
                "install -D -m 644 '/a b/ca.pem' /etc/pki/ca-trust/source/anchors/iothub-emulator.crt\n\
                 update-ca-trust extract\n",
            ),
            (
                Store::Fedora,
                Uninstall,
                "rm -f /etc/pki/ca-trust/source/anchors/iothub-emulator.crt\n\
                 update-ca-trust extract\n",
            ),
            (
                Store::MacOs,
                Install,
                "security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain '/a b/ca.pem'\n",
            ),
            (Store::MacOs, Uninstall, "security remove-trusted-cert -d '/a b/ca.pem'\n"),
        ];
        for (store, change, expected) in table {
            let steps = store.steps(change, Path::new("/a b/ca.pem"));
            let shown: String = steps.iter().map(|step| format!("{step}\n")).collect();
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
