//! Which crate may import which: the table of `ARCHITECTURE.md`, checked against the manifests.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what does not hold here must fail the test, at once and with its values"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Crate, and what it may import from the workspace.
const ALLOWED: &[(&str, &[&str])] = &[
    ("iothub-core", &[]),
    ("iothub-wire", &["iothub-core"]),
    ("iothub-store", &["iothub-core"]),
    // edges never import edges
    ("iothub-mqtt", &["iothub-core", "iothub-wire"]),
    ("iothub-amqp", &["iothub-core", "iothub-wire"]),
    ("iothub-rest", &["iothub-core", "iothub-wire"]),
    ("iothub-amqp", &["iothub-core", "iothub-wire"]),
    ("iothub-dps", &["iothub-core", "iothub-wire"]),
    ("iothub-admin", &["iothub-core", "iothub-wire"]),
    // clients of the wire, which know nothing of the hub's inside
    ("iothub-amqp-client", &[]),
    ("device-sim", &["iothub-amqp-client", "iothub-core", "iothub-wire"]),
    ("service-cli", &["iothub-amqp-client", "iothub-core", "iothub-wire"]),
    // the program composes; it holds no rule
    (
        "iothub-emulator",
        &[
            "device-sim",
            "iothub-admin",
            "iothub-amqp",
            "iothub-core",
            "iothub-dps",
            "iothub-amqp",
            "iothub-mqtt",
            "iothub-rest",
            "iothub-store",
            "iothub-wire",
            "service-cli",
        ],
    ),
    ("iothub-testkit", &["iothub-core", "iothub-emulator", "iothub-wire"]),
    ("iothub-tests", &["iothub-core", "iothub-testkit", "iothub-wire"]),
];

/// What a crate's own tests may use on top.
const ALLOWED_IN_TESTS: &[&str] = &["iothub-store", "iothub-testkit", "service-cli"];

/// An import of one crate of the workspace by another, and whether it is for tests only.
type Arrow = (String, String, bool);

/// The crates of the workspace and the arrows between them.
fn workspace() -> (BTreeSet<String>, Vec<Arrow>) {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--no-deps", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let names: BTreeSet<_> = packages.iter().map(name).collect();
    let mut arrows = Vec::new();
    for package in packages {
        for dependency in package["dependencies"].as_array().unwrap() {
            if names.contains(&name(dependency)) {
                arrows.push((name(package), name(dependency), dependency["kind"] == "dev"));
            }
        }
    }
    (names, arrows)
}

#[test]
fn crates_import_only_what_they_may() {
    let table: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    let (_, arrows) = workspace();
    assert!(!arrows.is_empty());
    let forbidden: Vec<_> = arrows
        .into_iter()
        .filter(|(from, to, for_tests)| {
            let allowed =
                table.get(from.as_str()).is_some_and(|to_these| to_these.contains(&to.as_str()));
            !(allowed || *for_tests && ALLOWED_IN_TESTS.contains(&to.as_str()))
        })
        .map(|(from, to, for_tests)| {
            format!("{from} -> {to}{}", if for_tests { " (tests)" } else { "" })
        })
        .collect();
    assert!(
        forbidden.is_empty(),
        "imports that the table does not allow: {}",
        forbidden.join(", ")
    );
}

#[test]
fn the_table_knows_every_crate() {
    let table: BTreeSet<_> = ALLOWED.iter().map(|(name, _)| (*name).to_owned()).collect();
    let (names, _) = workspace();
    let unknown: Vec<_> = names.difference(&table).collect();
    assert!(unknown.is_empty(), "crates that are missing in the table: {unknown:?}");
}

#[test]
fn the_core_knows_no_socket_no_file_and_no_wall_clock() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../emulator/core/src");
    let mut folders = vec![std::path::PathBuf::from(folder)];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let text = std::fs::read_to_string(&path).unwrap();
            for word in [
                "std::net",
                "std::fs",
                "std::process",
                "tokio::net",
                "tokio::fs",
                "SystemTime",
                "Instant::now",
            ] {
                let found = text
                    .lines()
                    .find(|line| line.contains(word) && !line.trim_start().starts_with("//"));
                assert!(found.is_none(), "{} has {word}: {found:?}", path.display());
            }
        }
    }
    assert!(files > 5, "only {files} files were read");
}
