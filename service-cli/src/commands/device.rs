//! `device`: identities in the registry.

use clap::{Args, Subcommand, ValueEnum};
use iothub_core::auth::sas::SymmetricKey;
use iothub_core::ids::{DeviceId, ETag, Precondition};
use iothub_wire::connection_string::Host;
use serde_json::{Value, json};

use crate::args::Format;
use crate::commands::{Failure, Session, Verdict, etag};
use crate::output;

/// What can be done with identities.
#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCommand {
    /// Register a device
    Create(CreateArgs),
    /// Show a device's identity
    Show {
        /// The device
        #[arg(value_parser = DeviceId::parse)]
        device: DeviceId,
    },
    /// List devices
    List {
        /// At most so many; the service gives 1000 at most
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
        top: Option<u16>,
    },
    /// Change a device's status or keys
    Update(UpdateArgs),
    /// Delete a device with its twin
    Delete {
        /// The device
        #[arg(value_parser = DeviceId::parse)]
        device: DeviceId,
        /// Only if the identity still has this ETag
        #[arg(long, value_parser = etag, default_value = "*")]
        etag: Precondition,
    },
    /// Print what the device connects with
    ConnectionString {
        /// The device
        #[arg(value_parser = DeviceId::parse)]
        device: DeviceId,
        /// The key to put into it
        #[arg(long, default_value = "primary")]
        key: WhichKey,
    },
}

/// A new identity.
#[derive(Args, Debug)]
pub(crate) struct CreateArgs {
    /// The device
    #[arg(value_parser = DeviceId::parse)]
    device: DeviceId,
    /// Its primary key in base64; without keys the service makes them
    #[arg(long, value_name = "KEY", value_parser = key, requires = "secondary_key")]
    primary_key: Option<String>,
    /// Its secondary key in base64
    #[arg(long, value_name = "KEY", value_parser = key, requires = "primary_key")]
    secondary_key: Option<String>,
    /// Do not let it connect yet
    #[arg(long)]
    disabled: bool,
    /// Why it has the status that it has
    #[arg(long, value_name = "TEXT")]
    status_reason: Option<String>,
    /// It is an IoT Edge device
    #[arg(long)]
    edge: bool,
}

/// A change of an identity.
#[derive(Args, Debug)]
pub(crate) struct UpdateArgs {
    /// The device
    #[arg(value_parser = DeviceId::parse)]
    device: DeviceId,
    #[command(flatten)]
    change: IdentityChange,
    /// Only if the identity still has this ETag; by default, the one it has when it is read
    #[arg(long, value_parser = etag)]
    etag: Option<Precondition>,
}

/// What is to be different.
#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
pub(crate) struct IdentityChange {
    /// Whether it may connect
    #[arg(long)]
    status: Option<Status>,
    /// Why it has the status that it has; empty for no reason
    #[arg(long, value_name = "TEXT")]
    status_reason: Option<String>,
    /// A new primary key in base64
    #[arg(long, value_name = "KEY", value_parser = key)]
    primary_key: Option<String>,
    /// A new secondary key in base64
    #[arg(long, value_name = "KEY", value_parser = key)]
    secondary_key: Option<String>,
}

/// Whether a device may connect.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Status {
    /// It may.
    Enabled,
    /// It may not.
    Disabled,
}

/// One of a device's two keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum WhichKey {
    /// The first.
    Primary,
    /// The second.
    Secondary,
}

pub(crate) fn run(session: &mut Session<'_>, command: DeviceCommand) -> Result<Verdict, Failure> {
    match command {
        DeviceCommand::Create(args) => create(session, &args),
        DeviceCommand::Show { device } => {
            let identity = session.client.get_device(&device).map_err(Failure::of_looking)?;
            show(session, &identity)
        }
        DeviceCommand::List { top } => list(session, top),
        DeviceCommand::Update(args) => update(session, &args),
        DeviceCommand::Delete { device, etag } => delete(session, &device, &etag),
        DeviceCommand::ConnectionString { device, key } => connection_string(session, &device, key),
    }
}

fn create(session: &mut Session<'_>, args: &CreateArgs) -> Result<Verdict, Failure> {
    let identity =
        session.client.put_device(&args.device, &args.identity(), &Precondition::None)?;
    show(session, &identity)
}

fn show(session: &mut Session<'_>, identity: &Value) -> Result<Verdict, Failure> {
    match session.out.format() {
        Format::Json => session.out.document(identity)?,
        Format::Text => session.out.write(&output::device(identity))?,
    }
    Ok(Verdict::Yes)
}

fn list(session: &mut Session<'_>, top: Option<u16>) -> Result<Verdict, Failure> {
    const LIMIT: usize = 1000;

    let identities = session.client.list_devices(top)?;
    match session.out.format() {
        Format::Json => session.out.document(&Value::Array(identities))?,
        Format::Text if identities.is_empty() => output::warn("no devices"),
        Format::Text => {
            session.out.write(&output::devices(&identities))?;
            if top.is_none() && identities.len() == LIMIT {
                output::warn("the service lists 1000 devices at most; there may be more");
            }
        }
    }
    Ok(Verdict::Yes)
}

fn update(session: &mut Session<'_>, args: &UpdateArgs) -> Result<Verdict, Failure> {
    let mut identity = session.client.get_device(&args.device)?;
    let precondition = match &args.etag {
        Some(given) => given.clone(),
        None => identity
            .get("etag")
            .and_then(Value::as_str)
            .map_or(Precondition::Exists, |etag| Precondition::Matches(ETag::new(etag))),
    };
    args.change.apply(&mut identity)?;
    let identity = session.client.put_device(&args.device, &identity, &precondition)?;
    show(session, &identity)
}

fn delete(
    session: &mut Session<'_>,
    device: &DeviceId,
    etag: &Precondition,
) -> Result<Verdict, Failure> {
    session.client.delete_device(device, etag)?;
    if session.out.format() == Format::Text {
        session.out.line(&format!("deleted {device}"))?;
    }
    Ok(Verdict::Yes)
}

fn connection_string(
    session: &mut Session<'_>,
    device: &DeviceId,
    key: WhichKey,
) -> Result<Verdict, Failure> {
    let identity = session.client.get_device(device).map_err(Failure::of_looking)?;
    let text = device_connection_string(&session.target.device_host(), device, &identity, key)?;
    match session.out.format() {
        Format::Json => session.out.document(&json!({ "connectionString": text }))?,
        Format::Text => session.out.line(&text)?,
    }
    Ok(Verdict::Yes)
}

fn device_connection_string(
    host: &Host,
    device: &DeviceId,
    identity: &Value,
    key: WhichKey,
) -> Result<String, Failure> {
    let kind = output::cell(identity.pointer("/authentication/type"));
    match kind.as_str() {
        "sas" => {
            let pointer = format!("/authentication/symmetricKey/{}", key.field());
            let text = identity.pointer(&pointer).and_then(Value::as_str).ok_or_else(|| {
                Failure::Input(format!("the identity of {device} has no {}", key.field()))
            })?;
            Ok(format!("HostName={host};DeviceId={device};SharedAccessKey={text}"))
        }
        "selfSigned" | "certificateAuthority" => {
            Ok(format!("HostName={host};DeviceId={device};x509=true"))
        }
        other => Err(Failure::Input(format!(
            "{device} authenticates with {other:?}, expected sas, selfSigned or certificateAuthority"
        ))),
    }
}

/// Checks that a text is a key; the service gets it as it was given.
fn key(text: &str) -> Result<String, iothub_core::auth::sas::InvalidKey> {
    SymmetricKey::parse(text).map(|key| key.as_base64().to_owned())
}

impl WhichKey {
    fn field(self) -> &'static str {
        match self {
            Self::Primary => "primaryKey",
            Self::Secondary => "secondaryKey",
        }
    }
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }
}

impl CreateArgs {
    fn identity(&self) -> Value {
        let status = if self.disabled { Status::Disabled } else { Status::Enabled };
        let mut identity = json!({
            "deviceId": self.device.as_str(),
            "status": status.as_str(),
            "authentication": { "type": "sas" },
            "capabilities": { "iotEdge": self.edge },
        });
        if let Some(reason) = &self.status_reason {
            set(&mut identity, &["statusReason"], json!(reason));
        }
        for (field, key) in
            [("primaryKey", &self.primary_key), ("secondaryKey", &self.secondary_key)]
        {
            if let Some(key) = key {
                set(&mut identity, &["authentication", "symmetricKey", field], json!(key));
            }
        }
        identity
    }
}

impl IdentityChange {
    /// Makes an identity, as the service gave it, what is asked for.
    fn apply(&self, identity: &mut Value) -> Result<(), Failure> {
        if let Some(status) = self.status {
            set(identity, &["status"], json!(status.as_str()));
        }
        if let Some(reason) = &self.status_reason {
            let reason = if reason.is_empty() { Value::Null } else { json!(reason) };
            set(identity, &["statusReason"], reason);
        }
        for (field, key) in
            [("primaryKey", &self.primary_key), ("secondaryKey", &self.secondary_key)]
        {
            let Some(key) = key else { continue };
            let kind = output::cell(identity.pointer("/authentication/type"));
            if kind != "sas" {
                return Err(Failure::Input(format!(
                    "the device authenticates with {kind:?}, expected \"sas\" for a new key"
                )));
            }
            set(identity, &["authentication", "symmetricKey", field], json!(key));
        }
        Ok(())
    }
}

/// Sets a field; what is missing on the way to it, or is null, becomes an object.
fn set(document: &mut Value, path: &[&str], value: Value) {
    let Some((name, rest)) = path.split_first() else {
        *document = value;
        return;
    };
    if !document.is_object() {
        *document = json!({});
    }
    if let Some(fields) = document.as_object_mut() {
        set(fields.entry(*name).or_insert(Value::Null), rest, value);
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(subcommand)]
        command: DeviceCommand,
    }

    fn parse(line: &str) -> DeviceCommand {
        Line::try_parse_from(format!("x {line}").split_whitespace()).unwrap().command
    }

    #[test]
    fn a_new_identity_says_what_was_asked_for() {
        let table = [
            (
                "create d".to_owned(),
                json!({"deviceId": "d", "status": "enabled", "authentication": {"type": "sas"},
                       "capabilities": {"iotEdge": false}}),
            ),
            (
                format!(
                    "create d --disabled --status-reason why --edge --primary-key {KEY} --secondary-key {KEY}"
                ),
                json!({"deviceId": "d", "status": "disabled",
                       "authentication": {"type": "sas",
                           "symmetricKey": {"primaryKey": KEY, "secondaryKey": KEY}},
                       "capabilities": {"iotEdge": true}, "statusReason": "why"}),
            ),
        ];
        for (line, expected) in table {
            let DeviceCommand::Create(args) = parse(&line) else { panic!("{line}") };
            assert_eq!(args.identity(), expected, "{line}");
        }
    }

    #[test]
    fn what_is_not_asked_for_stays_as_it_is() {
        let before = json!({"deviceId": "d", "status": "enabled", "statusReason": "r",
            "authentication": {"type": "sas", "symmetricKey": {"primaryKey": "p", "secondaryKey": "s"}}});
        let table = [
            ("--status disabled".to_owned(), "/status", json!("disabled")),
            ("--status-reason new".to_owned(), "/statusReason", json!("new")),
            ("--status-reason=".to_owned(), "/statusReason", Value::Null),
            (
                format!("--secondary-key {KEY}"),
                "/authentication/symmetricKey/secondaryKey",
                json!(KEY),
            ),
        ];
        for (flags, pointer, value) in table {
            let DeviceCommand::Update(args) = parse(&format!("update d {flags}")) else {
                panic!("{flags}")
            };
            let mut changed = before.clone();
            args.change.apply(&mut changed).unwrap();
            let mut expected = before.clone();
            *expected.pointer_mut(pointer).unwrap() = value;
            assert_eq!(changed, expected, "{flags}");
        }
    }

    #[test]
    fn a_device_with_a_certificate_gets_no_key() {
        let DeviceCommand::Update(args) = parse(&format!("update d --primary-key {KEY}")) else {
            panic!()
        };
        let mut identity = json!({"authentication": {"type": "selfSigned"}});
        let refusal = args.change.apply(&mut identity).unwrap_err().to_string();
        assert_eq!(
            refusal,
            "the device authenticates with \"selfSigned\", expected \"sas\" for a new key"
        );
    }

    #[test]
    fn connection_strings_follow_the_way_of_authentication() {
        let host = Host { name: "127.0.0.1".to_owned(), port: Some(18883) };
        let device = DeviceId::parse("d").unwrap();
        let sas = json!({"authentication": {"type": "sas",
            "symmetricKey": {"primaryKey": "p", "secondaryKey": "s"}}});
        let table = [
            (
                sas.clone(),
                WhichKey::Primary,
                Some("HostName=127.0.0.1:18883;DeviceId=d;SharedAccessKey=p"),
            ),
            (
                sas,
                WhichKey::Secondary,
                Some("HostName=127.0.0.1:18883;DeviceId=d;SharedAccessKey=s"),
            ),
            (
                json!({"authentication": {"type": "selfSigned"}}),
                WhichKey::Primary,
                Some("HostName=127.0.0.1:18883;DeviceId=d;x509=true"),
            ),
            (json!({"authentication": {"type": "sas"}}), WhichKey::Primary, None),
            (json!({}), WhichKey::Primary, None),
        ];
        for (identity, key, expected) in table {
            let text = device_connection_string(&host, &device, &identity, key).ok();
            assert_eq!(text.as_deref(), expected, "{identity}");
        }
    }

    #[test]
    fn wrong_arguments_are_refused() {
        let table = [
            "create a/b".to_owned(),
            format!("create d --primary-key {KEY}"),
            "create d --primary-key AAAA --secondary-key AAAA".to_owned(),
            "update d".to_owned(),
            "update d --etag x".to_owned(),
            "update d --status on".to_owned(),
            "list --top 0".to_owned(),
            "list --top 1001".to_owned(),
            "connection-string d --key third".to_owned(),
        ];
        for line in table {
            let result = Line::try_parse_from(format!("x {line}").split_whitespace());
            assert!(result.is_err(), "{line}");
        }
    }
}
