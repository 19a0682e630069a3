//! Scripts that need a back end which sends: the emulator runs in this process, and a script that
//! prints `send {"device": .., "body": .., "system": {..}, "properties": {..}}` has that sent as a
//! cloud-to-device message. Back ends send over AMQP, which the emulator does not have yet.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use iothub_core::devicebound::Outgoing;
use iothub_core::event::{Message, SystemProperty};
use iothub_core::ids::DeviceId;
use iothub_testkit::Emulator;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::{HARNESS, Language, SCRIPT_LIMIT, judge, or_skip};
use crate::program;

/// As [`super::run`], with a back end that sends what the script asks for.
pub fn run_with_back_end(language: Language, script: &str) {
    or_skip(script, try_run(language, script));
}

fn try_run(language: Language, script: &str) -> Result<(), String> {
    let interpreter = language.ready()?;
    let address = program::own_address()?;
    let runtime = Runtime::new().unwrap();
    let emulator = runtime.block_on(Emulator::start_at(address)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, emulator.ca_pem()).unwrap();
    let mut command = Command::new(interpreter);
    for variable in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env_remove(variable);
    }
    for variable in ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"] {
        command.env(variable, &ca);
    }
    let child = command
        .env("IOTHUB_CONNECTION_STRING", emulator.connection_string())
        .env(HARNESS, format!("http://{}", emulator.admin_addr()))
        .env("NODE_PATH", Language::Node.folder().join("node_modules"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONUNBUFFERED", "1")
        .arg(language.source().join(script))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    judge(script, &serve(child, |order| send(&runtime, &emulator, order)));
    Ok(())
}

/// Carries out what the script asks for, and gives what else it says.
fn serve(mut child: Child, order: impl Fn(&Value)) -> Output {
    let mut errors = child.stderr.take().unwrap();
    let errors = thread::spawn(move || {
        let mut text = Vec::new();
        errors.read_to_end(&mut text).map(|_| text)
    });
    let mut stdout = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        match line.strip_prefix("send ") {
            Some(wanted) => order(&serde_json::from_str(wanted).unwrap()),
            None => stdout.extend_from_slice(format!("{line}\n").as_bytes()),
        }
    }
    // The script has closed its output, so it is about to end; cases have time limits of their own.
    let deadline = Instant::now() + SCRIPT_LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "the script does not end");
        thread::sleep(Duration::from_millis(10));
    };
    Output { status, stdout, stderr: errors.join().unwrap().unwrap() }
}

fn send(runtime: &Runtime, emulator: &Emulator, order: &Value) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let pairs = |name: &str| {
        let pairs = order[name].as_object().into_iter().flatten();
        pairs.map(|(name, value)| (name.clone(), text(value))).collect::<Vec<_>>()
    };
    let system = pairs("system").into_iter().map(|(name, value)| (system_property(&name), value));
    let message = Message {
        system: system.collect(),
        application: pairs("properties")
            .into_iter()
            .map(|(name, value)| (name, Some(value)))
            .collect(),
        body: text(&order["body"]).into(),
    };
    let device = DeviceId::parse(order["device"].as_str().unwrap()).unwrap();
    let service = emulator.service().unwrap();
    let outgoing = Outgoing::new(message, None).unwrap();
    runtime.block_on(service.send_devicebound(&device, outgoing)).unwrap();
}

fn system_property(name: &str) -> SystemProperty {
    match name {
        "messageId" => SystemProperty::MessageId,
        "correlationId" => SystemProperty::CorrelationId,
        "contentType" => SystemProperty::ContentType,
        "contentEncoding" => SystemProperty::ContentEncoding,
        other => panic!("{other} is no system property of a script"),
    }
}
