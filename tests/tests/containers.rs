//! The image and the compose file in a real Docker engine.
//!
//! The images are built before, by `docker/build` and `docker build`, which `.ci/run` does. Where
//! there is no engine or no image, these are skipped and say so.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "what does not hold here must fail the test, at once and with its values"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use iothub_testkit::container::Container;
use iothub_tests::program;

const IMAGE: &str = "iothub-emulator";
const PATIENCE: Duration = Duration::from_secs(120);
static PROJECTS: AtomicUsize = AtomicUsize::new(0);

/// Whether the image can be run here. With `CI=true` it must, unless `.ci/run` said that this
/// machine has no engine and may not have one.
fn has_image() -> bool {
    let found = Command::new("docker").args(["image", "inspect", IMAGE]).output();
    if found.is_ok_and(|output| output.status.success()) {
        return true;
    }
    let excused = std::env::var("IOTHUB_NO_DOCKER").ok();
    let must = std::env::var("CI").is_ok_and(|ci| ci == "true") && excused.is_none();
    let why = excused.unwrap_or_else(|| format!("docker has no image {IMAGE}"));
    assert!(!must, "CI=true, and the containers cannot run: {why}");
    eprintln!("skipped: containers: {why}");
    false
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

#[test]
fn a_container_serves_on_an_address_of_its_own() {
    if !has_image() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let hub = Container::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, hub.ca_pem()).unwrap();
        let service = |arguments: &[&str]| {
            let output = program::command("service-cli", folder.path())
                .args(arguments)
                .arg("--ca")
                .arg(&ca)
                .env("IOTHUB_CONNECTION_STRING", hub.connection_string())
                .output()
                .unwrap();
            assert!(output.status.success(), "{arguments:?}: {}", text(&output));
            text(&output)
        };
        service(&["device", "create", "d1"]);
        let string = service(&["device", "connection-string", "d1"]);
        let device = program::command("device-sim", folder.path())
            .args(["run", "--stop-after-applied", "1", "--connection-string", string.trim()])
            .arg("--ca")
            .arg(&ca)
            .spawn();
        let mut device = device.unwrap();
        service(&["configure", "d1", "7m", "--timeout", "2m"]);
        assert!(device.wait().unwrap().success());
        assert!(service(&["twin", "show", "d1"]).contains("7m"));
    });
}

/// A project of the compose file, taken down when dropped.
struct Compose {
    program: Vec<&'static str>,
    project: String,
}

impl Compose {
    fn new() -> Self {
        let plugin = Command::new("docker").args(["compose", "version"]).output();
        let has_plugin = plugin.is_ok_and(|output| output.status.success());
        let program = if has_plugin { vec!["docker", "compose"] } else { vec!["docker-compose"] };
        // Each its own: taking one down must not end another that a test beside it has up.
        let number = PROJECTS.fetch_add(1, Ordering::Relaxed);
        Self { program, project: format!("iothub-test-{}-{number}", std::process::id()) }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(self.program[0])
            .args(&self.program[1..])
            .args(["-p", &self.project])
            .args(arguments)
            .current_dir(root())
            .env("IOTHUB_EMULATOR_ADDRESS", "127.0.0.2")
            .env("IOTHUB_EMULATOR_BUILD", "local-")
            .output()
            .unwrap()
    }
}

impl Drop for Compose {
    fn drop(&mut self) {
        self.run(&["down", "-v", "--remove-orphans"]);
    }
}

#[test]
fn compose_up_tells_the_story_of_the_tutorial() {
    if !has_image() {
        return;
    }
    let compose = Compose::new();
    let up = compose.run(&["up", "-d", "--no-build"]);
    assert!(up.status.success(), "{}", text(&up));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let logs = text(&compose.run(&["logs", "--no-color"]));
        let told = ["IoT Hub emulator is ready", "sendFrequency", "5m", "agreed after"];
        if told.iter().all(|part| logs.contains(part)) {
            return;
        }
        assert!(Instant::now() < deadline, "the story is not told:\n{logs}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[test]
fn the_compose_file_with_a_back_end_in_python_fits_the_other() {
    if !has_image() {
        return;
    }
    let files = ["-f", "docker-compose.yml", "-f", "docker-compose.python.yml"];
    let config = Compose::new().run(&[&files[..], &["config"]].concat());
    let shown = text(&config);
    assert!(config.status.success(), "{shown}");
    for part in ["examples/python-back-end", "/back_end.py", "/state/ca.pem"] {
        assert!(shown.contains(part), "{part} is missing:\n{shown}");
    }
    assert!(!shown.contains("--watch"), "the other back end is still there:\n{shown}");
}
