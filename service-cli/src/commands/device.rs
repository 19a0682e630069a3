//! `device`: identities in the registry.

use clap::{Args, Subcommand};
use iothub_core::ids::{DeviceId, ETag, Precondition};
use serde_json::{Value, json};

use crate::args::Format;
use crate::commands::bulk::{self, BulkCommand};
use crate::commands::identity::{self, CreateArgs, IdentityChange, WhichKey};
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
    /// Many identities at once, from a file and into one
    #[command(subcommand)]
    Bulk(BulkCommand),
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
        DeviceCommand::Bulk(command) => bulk::run(session, &command),
        DeviceCommand::ConnectionString { device, key } => connection_string(session, &device, key),
    }
}

fn create(session: &mut Session<'_>, args: &CreateArgs) -> Result<Verdict, Failure> {
    let identity =
        session.client.put_device(&args.device, &args.document(), &Precondition::None)?;
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
    let text = identity::connection_string(
        &session.target.device_host(),
        &device.clone().into(),
        &identity,
        key,
    )?;
    match session.out.format() {
        Format::Json => session.out.document(&json!({ "connectionString": text }))?,
        Format::Text => session.out.line(&text)?,
    }
    Ok(Verdict::Yes)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        _command: DeviceCommand,
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
