//! `module`: the identities of a device's modules.

use clap::{Args, Subcommand};
use iothub_core::ids::{DeviceId, ETag, IdentityId, ModuleId, Precondition};
use serde_json::{Value, json};

use crate::args::Format;
use crate::commands::identity::{self, WhichKey, key, set};
use crate::commands::{Failure, Session, Verdict, etag};
use crate::output;

/// What can be done with modules.
#[derive(Debug, Subcommand)]
pub(crate) enum ModuleCommand {
    /// Register a module of a device
    Create {
        #[command(flatten)]
        module: ModuleName,
        #[command(flatten)]
        fields: Fields,
    },
    /// Show a module's identity
    Show {
        #[command(flatten)]
        module: ModuleName,
    },
    /// List the modules of a device
    List {
        /// The device
        #[arg(value_parser = DeviceId::parse)]
        device: DeviceId,
    },
    /// Change a module's keys or who manages it
    Update {
        #[command(flatten)]
        module: ModuleName,
        #[command(flatten)]
        fields: Fields,
        /// Only if the identity still has this ETag; by default, the one it has when it is read
        #[arg(long, value_parser = etag)]
        etag: Option<Precondition>,
    },
    /// Delete a module with its twin
    Delete {
        #[command(flatten)]
        module: ModuleName,
        /// Only if the identity still has this ETag
        #[arg(long, value_parser = etag, default_value = "*")]
        etag: Precondition,
    },
    /// Print what the module connects with
    ConnectionString {
        #[command(flatten)]
        module: ModuleName,
        /// The key to put into it
        #[arg(long, default_value = "primary")]
        key: WhichKey,
    },
}

/// Which module.
#[derive(Args, Debug)]
pub(crate) struct ModuleName {
    /// The device
    #[arg(value_parser = DeviceId::parse)]
    device: DeviceId,
    /// The module
    #[arg(value_parser = ModuleId::parse)]
    module: ModuleId,
}

/// What a caller says of a module.
#[derive(Args, Debug)]
pub(crate) struct Fields {
    /// Its primary key in base64; a new module gets keys from the service where none are given
    #[arg(long, value_name = "KEY", value_parser = key)]
    primary_key: Option<String>,
    /// Its secondary key in base64
    #[arg(long, value_name = "KEY", value_parser = key)]
    secondary_key: Option<String>,
    /// Who manages it; empty for nobody
    #[arg(long, value_name = "TEXT")]
    managed_by: Option<String>,
}

impl Fields {
    /// Writes what was given into an identity.
    fn apply(&self, identity: &mut Value) {
        if let Some(manager) = &self.managed_by {
            let manager = if manager.is_empty() { Value::Null } else { json!(manager) };
            set(identity, &["managedBy"], manager);
        }
        for (field, key) in
            [("primaryKey", &self.primary_key), ("secondaryKey", &self.secondary_key)]
        {
            if let Some(key) = key {
                set(identity, &["authentication", "symmetricKey", field], json!(key));
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.primary_key.is_none() && self.secondary_key.is_none() && self.managed_by.is_none()
    }
}

pub(crate) fn run(session: &mut Session<'_>, command: ModuleCommand) -> Result<Verdict, Failure> {
    match command {
        ModuleCommand::Create { module, fields } => create(session, &module, &fields),
        ModuleCommand::Show { module: ModuleName { device, module } } => {
            let found = session.client.get_module(&device, &module).map_err(Failure::of_looking)?;
            show(session, &found)
        }
        ModuleCommand::List { device } => list(session, &device),
        ModuleCommand::Update { module, fields, etag } => update(session, &module, &fields, etag),
        ModuleCommand::Delete { module, etag } => delete(session, &module, &etag),
        ModuleCommand::ConnectionString { module, key } => connection_string(session, module, key),
    }
}

fn create(
    session: &mut Session<'_>,
    ModuleName { device, module }: &ModuleName,
    fields: &Fields,
) -> Result<Verdict, Failure> {
    if fields.primary_key.is_some() != fields.secondary_key.is_some() {
        return Err(Failure::Input("a new module has both keys given, or none".to_owned()));
    }
    let mut identity = json!({
        "deviceId": device.as_str(),
        "moduleId": module.as_str(),
        "authentication": { "type": "sas" },
    });
    fields.apply(&mut identity);
    let made = session.client.put_module(device, module, &identity, &Precondition::None)?;
    show(session, &made)
}

fn show(session: &mut Session<'_>, identity: &Value) -> Result<Verdict, Failure> {
    match session.out.format() {
        Format::Json => session.out.document(identity)?,
        Format::Text => session.out.write(&output::module(identity))?,
    }
    Ok(Verdict::Yes)
}

fn list(session: &mut Session<'_>, device: &DeviceId) -> Result<Verdict, Failure> {
    let modules = session.client.list_modules(device).map_err(Failure::of_looking)?;
    match session.out.format() {
        Format::Json => session.out.document(&Value::Array(modules))?,
        Format::Text if modules.is_empty() => output::warn("no modules"),
        Format::Text => session.out.write(&output::modules(&modules))?,
    }
    Ok(Verdict::Yes)
}

fn update(
    session: &mut Session<'_>,
    ModuleName { device, module }: &ModuleName,
    fields: &Fields,
    etag: Option<Precondition>,
) -> Result<Verdict, Failure> {
    if fields.is_empty() {
        let message = "nothing to change: give --managed-by, --primary-key or --secondary-key";
        return Err(Failure::Input(message.to_owned()));
    }
    let mut identity = session.client.get_module(device, module)?;
    let present = identity.get("etag").and_then(Value::as_str).map(ETag::new);
    let precondition =
        etag.or_else(|| present.map(Precondition::Matches)).unwrap_or(Precondition::Exists);
    fields.apply(&mut identity);
    let changed = session.client.put_module(device, module, &identity, &precondition)?;
    show(session, &changed)
}

fn delete(
    session: &mut Session<'_>,
    ModuleName { device, module }: &ModuleName,
    etag: &Precondition,
) -> Result<Verdict, Failure> {
    session.client.delete_module(device, module, etag)?;
    if session.out.format() == Format::Text {
        session.out.line(&format!("deleted {device}/{module}"))?;
    }
    Ok(Verdict::Yes)
}

fn connection_string(
    session: &mut Session<'_>,
    ModuleName { device, module }: ModuleName,
    key: WhichKey,
) -> Result<Verdict, Failure> {
    let found = session.client.get_module(&device, &module).map_err(Failure::of_looking)?;
    let id = IdentityId { device, module: Some(module) };
    let text = identity::connection_string(&session.target.device_host(), &id, &found, key)?;
    match session.out.format() {
        Format::Json => session.out.document(&json!({ "connectionString": text }))?,
        Format::Text => session.out.line(&text)?,
    }
    Ok(Verdict::Yes)
}
