//! The official SDKs: packages from PyPI and npm, pinned, installed once below `target/sdk`, and
//! scripts that run against an emulator with nothing but its environment variables.

mod back_end;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

use crate::program::{self, EMULATOR, Emulator};

pub use back_end::run_with_back_end;

/// How long a script may take: its cases have limits of their own, which say what was waited for.
const SCRIPT_LIMIT: Duration = Duration::from_secs(600);

/// The variable that tells a script where the harness is. The SDKs know nothing of it; a script asks
/// there what they do not tell, such as when the hub knows of a subscription.
const HARNESS: &str = "IOTHUB_TEST_HARNESS";

/// A language whose SDKs are tested.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Language {
    /// azure-iot-device and azure-iot-hub.
    Python,
    /// azure-iot-device, azure-iot-device-mqtt, azure-iot-device-http and azure-iothub.
    Node,
}

/// Runs a script of `tests/sdk/` against an emulator of its own, which must print `ok` for each
/// of its cases and end with 0. Where this machine cannot do that, it is skipped and says why;
/// with `CI=true` that is a failure.
pub fn run(language: Language, script: &str) {
    or_skip(script, try_run(language, script));
}

/// The same, against an emulator with the options of a file in `tests/sdk`.
pub fn run_with_file(language: Language, script: &str, file: &str) {
    or_skip(script, try_run_with_file(language, script, file));
}

fn or_skip(script: &str, outcome: Result<(), String>) {
    if let Err(reason) = outcome {
        assert!(!is_ci(), "CI=true, and {script} cannot run: {reason}");
        announce(&format!("skipped: {script}: {reason}"));
    }
}

fn try_run(language: Language, script: &str) -> Result<(), String> {
    let interpreter = language.ready()?;
    let emulator = Emulator::start_at(program::own_address()?);
    ask(&emulator, language, interpreter, script);
    Ok(())
}

fn try_run_with_file(language: Language, script: &str, file: &str) -> Result<(), String> {
    let interpreter = language.ready()?;
    let path = language.source().with_file_name(file);
    let text = fs::read_to_string(&path).map_err(|why| format!("{}: {why}", path.display()))?;
    let emulator = Emulator::start_with_file(program::own_address()?, &text);
    ask(&emulator, language, interpreter, script);
    Ok(())
}

fn ask(emulator: &Emulator, language: Language, interpreter: &Path, script: &str) {
    let file = language.source().join(script);
    judge(script, &as_a_user_would(emulator, interpreter, &file));
}

/// Fails unless every case held but those that are known not to.
fn judge(script: &str, output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    let named = |verdict: &str| -> BTreeSet<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(verdict));
        lines.map(|name| name.trim().to_owned()).collect()
    };
    let (held, failed) = (named("ok "), named("FAILED "));
    let ended = output.status.success() == failed.is_empty() && !held.is_empty();
    let errors = String::from_utf8_lossy(&output.stderr);
    let gaps = known_gaps(script);
    assert!(
        ended && failed == gaps,
        "{script}: {}, known gaps {gaps:?}\n{text}\n{errors}",
        output.status
    );
    announce(&format!("{script}: {} cases hold, {} known gaps", held.len(), gaps.len()));
}

/// The cases of a script that are known to fail: no more and no fewer may.
fn known_gaps(script: &str) -> BTreeSet<String> {
    let text = include_str!("../conformance/known_gaps.toml");
    let table: toml::Table = text.parse().unwrap();
    let gaps = table["gap"].as_array().unwrap().iter();
    let here = gaps.filter(|gap| gap["script"].as_str() == Some(script));
    here.map(|gap| gap["case"].as_str().unwrap().to_owned()).collect()
}

/// What a user does: evaluate what `iothub-emulator env` prints, then start the program.
fn as_a_user_would(emulator: &Emulator, interpreter: &Path, script: &Path) -> Output {
    const SHELL: &str = r#"set -e
exports="$("$1" env --shell bash --state-dir "$2")"
eval "$exports"
shift 2
exec "$@""#;
    let mut command = program::command(EMULATOR, emulator.state_dir());
    command = {
        let mut shell = Command::new("sh");
        for (variable, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(variable, value),
                None => shell.env_remove(variable),
            };
        }
        shell
    };
    for variable in ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"] {
        command.env_remove(variable);
    }
    for variable in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env_remove(variable);
    }
    command
        .env("IOTHUB_CONNECTION_STRING", &emulator.local.connection_string)
        .env("IOTHUB_EMULATOR", program::path(EMULATOR))
        .env(HARNESS, &emulator.local.harness)
        .env("NODE_PATH", Language::Node.folder().join("node_modules"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONUNBUFFERED", "1")
        .args(["-c", SHELL, "sh"])
        .arg(program::path(EMULATOR))
        .arg(emulator.state_dir())
        .arg(interpreter)
        .arg(script);
    assert_cmd::Command::from_std(command).timeout(SCRIPT_LIMIT).output().unwrap()
}

impl Language {
    /// Where the scripts and the list of packages are.
    fn source(self) -> PathBuf {
        let name = if self == Self::Python { "python" } else { "node" };
        Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk").join(name)
    }

    /// Where the packages are installed.
    fn folder(self) -> PathBuf {
        program::target_dir("sdk").join(if self == Self::Python { "python" } else { "node" })
    }

    /// The file that pins the packages.
    fn pins(self) -> PathBuf {
        self.source().join(if self == Self::Python {
            "requirements.txt"
        } else {
            "package-lock.json"
        })
    }

    /// The interpreter with the packages, which are installed if they are not yet.
    fn ready(self) -> Result<&'static Path, String> {
        static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        static NODE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        let cell = if self == Self::Python { &PYTHON } else { &NODE };
        cell.get_or_init(|| self.set_up()).as_deref().map_err(Clone::clone)
    }

    fn set_up(self) -> Result<PathBuf, String> {
        let folder = self.folder();
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        // Runs that start at once take turns here.
        let lock =
            File::create(folder.with_extension("lock")).map_err(|error| error.to_string())?;
        lock.lock().map_err(|error| error.to_string())?;
        let tool = if self == Self::Python { "python3" } else { "node" };
        let version = tool_output(Command::new(tool).arg("--version"))?;
        let pins = fs::read_to_string(self.pins()).map_err(|error| error.to_string())?;
        let wanted = format!("{version}\n{pins}");
        let stamp = folder.join("complete");
        if fs::read_to_string(&stamp).is_ok_and(|present| present == wanted) {
            return Ok(self.interpreter());
        }
        fs::remove_dir_all(&folder).map_err(|error| error.to_string())?;
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        match self {
            Self::Python => install_python(&folder, &self.pins())?,
            Self::Node => install_node(&folder, &self.source())?,
        }
        fs::write(&stamp, wanted).map_err(|error| error.to_string())?;
        Ok(self.interpreter())
    }

    fn interpreter(self) -> PathBuf {
        match self {
            Self::Python => self.folder().join("bin").join("python"),
            Self::Node => PathBuf::from("node"),
        }
    }
}

fn install_python(folder: &Path, requirements: &Path) -> Result<(), String> {
    tool_output(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
    tool_output(Command::new(folder.join("bin").join("python")).args(pip).arg(requirements))?;
    Ok(())
}

fn install_node(folder: &Path, source: &Path) -> Result<(), String> {
    for name in ["package.json", "package-lock.json"] {
        fs::copy(source.join(name), folder.join(name)).map_err(|error| error.to_string())?;
    }
    let arguments = ["ci", "--no-audit", "--no-fund", "--ignore-scripts"];
    tool_output(Command::new("npm").args(arguments).current_dir(folder))?;
    Ok(())
}

/// Runs a tool of this machine and gives what it prints.
fn tool_output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name} does not run: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let tail: Vec<_> = errors.lines().rev().take(5).collect();
    let tail: Vec<_> = tail.into_iter().rev().collect();
    Err(format!("{name} failed with {}: {}", output.status, tail.join(" | ")))
}

fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// Says something even if the test succeeds.
fn announce(line: &str) {
    use std::io::Write as _;
    // Not `println`, which the test harness keeps to itself.
    let _ = writeln!(std::io::stdout(), "{line}");
}
