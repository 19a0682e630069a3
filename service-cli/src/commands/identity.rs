//! Identities as documents: made, changed, and turned into what a device connects with.

use clap::{Args, ValueEnum};
use iothub_core::auth::sas::{InvalidKey, SymmetricKey};
use iothub_core::ids::{DeviceId, IdentityId};
use iothub_wire::connection_string::Host;
use serde_json::{Value, json};

use crate::commands::Failure;
use crate::output;

/// A new identity.
#[derive(Args, Debug)]
pub(crate) struct CreateArgs {
    /// The device
    #[arg(value_parser = DeviceId::parse)]
    pub(super) device: DeviceId,
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
    /// The identity as it is sent.
    pub(super) fn document(&self) -> Value {
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
    pub(super) fn apply(&self, identity: &mut Value) -> Result<(), Failure> {
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

/// What a device or module with this identity connects with.
pub(super) fn connection_string(
    host: &Host,
    id: &IdentityId,
    identity: &Value,
    key: WhichKey,
) -> Result<String, Failure> {
    let mut name = format!("HostName={host};DeviceId={}", id.device);
    if let Some(module) = &id.module {
        name += &format!(";ModuleId={module}");
    }
    let kind = output::cell(identity.pointer("/authentication/type"));
    match kind.as_str() {
        "sas" => {
            let pointer = format!("/authentication/symmetricKey/{}", key.field());
            let text = identity.pointer(&pointer).and_then(Value::as_str).ok_or_else(|| {
                Failure::Input(format!("the identity of {id} has no {}", key.field()))
            })?;
            Ok(format!("{name};SharedAccessKey={text}"))
        }
        "selfSigned" | "certificateAuthority" => Ok(format!("{name};x509=true")),
        other => Err(Failure::Input(format!(
            "{id} authenticates with {other:?}, expected sas, selfSigned or certificateAuthority"
        ))),
    }
}

/// Checks that a text is a key; the service gets it as it was given.
pub(super) fn key(text: &str) -> Result<String, InvalidKey> {
    SymmetricKey::parse(text).map(|key| key.as_base64().to_owned())
}

/// Sets a field; what is missing on the way to it, or is null, becomes an object.
pub(super) fn set(document: &mut Value, path: &[&str], value: Value) {
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
    use clap::Parser;

    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[derive(Debug, Parser)]
    struct Create {
        #[command(flatten)]
        args: CreateArgs,
    }

    #[derive(Debug, Parser)]
    struct Update {
        #[command(flatten)]
        change: IdentityChange,
    }

    fn parse<T: Parser>(line: &str) -> T {
        T::try_parse_from(format!("x {line}").split_whitespace()).unwrap()
    }

    #[test]
    fn a_new_identity_says_what_was_asked_for() {
        let table = [
            (
                "d".to_owned(),
                json!({"deviceId": "d", "status": "enabled", "authentication": {"type": "sas"},
                       "capabilities": {"iotEdge": false}}),
            ),
            (
                format!(
                    "d --disabled --status-reason why --edge --primary-key {KEY} --secondary-key {KEY}"
                ),
                json!({"deviceId": "d", "status": "disabled",
                       "authentication": {"type": "sas",
                           "symmetricKey": {"primaryKey": KEY, "secondaryKey": KEY}},
                       "capabilities": {"iotEdge": true}, "statusReason": "why"}),
            ),
        ];
        for (line, expected) in table {
            let Create { args } = parse(&line);
            assert_eq!(args.document(), expected, "{line}");
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
            let Update { change } = parse(&flags);
            let mut changed = before.clone();
            change.apply(&mut changed).unwrap();
            let mut expected = before.clone();
            *expected.pointer_mut(pointer).unwrap() = value;
            assert_eq!(changed, expected, "{flags}");
        }
    }

    #[test]
    fn a_device_with_a_certificate_gets_no_key() {
        let Update { change } = parse(&format!("--primary-key {KEY}"));
        let mut identity = json!({"authentication": {"type": "selfSigned"}});
        let refusal = change.apply(&mut identity).unwrap_err().to_string();
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
            let text = connection_string(&host, &device.clone().into(), &identity, key).ok();
            assert_eq!(text.as_deref(), expected, "{identity}");
        }
    }
}
