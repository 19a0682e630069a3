//! The program from outside: what it sends, what it prints, how it exits.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking; clippy.toml covers only the tests themselves"
)]

mod configure;
mod connect;
mod device;
mod method;
mod query;
mod support;
mod twin;

use crate::support::cli;

#[test]
fn help_documents_the_exit_codes() {
    let output = cli().arg("--help").assert().code(0);
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    for line in ["Exit codes:", "  0  yes", "  1  no", "  2  error"] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn wrong_arguments_exit_with_2() {
    let table: [&[&str]; 6] = [
        &[],
        &["nonsense"],
        &["device", "show", "a b"],
        &["twin", "update", "d"],
        &["configure", "d"],
        &["configure", "d", "5m", "--timeout", "soon"],
    ];
    for arguments in table {
        cli().args(arguments).assert().code(2).stdout("");
    }
}

#[test]
fn completions_need_no_hub() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = cli().args(["completions", shell]).assert().code(0);
        let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
        assert!(text.contains("connection-string"), "{shell}");
    }
}
