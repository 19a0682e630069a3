//! Connection strings: `HostName=…;DeviceId=…;SharedAccessKey=…` and the service's form of it.
//!
//! ```
//! use iothub_wire::connection_string::DeviceConnectionString;
//!
//! let text = "HostName=127.0.0.1;DeviceId=d1;SharedAccessKey=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
//! let string = DeviceConnectionString::parse(text)?;
//! assert_eq!(string.host.name, "127.0.0.1");
//! assert_eq!(string.to_string(), text);
//! # Ok::<(), iothub_wire::connection_string::InvalidConnectionString>(())
//! ```

use std::fmt;

use iothub_core::auth::sas::{self, InvalidKey, SymmetricKey};
use iothub_core::ids::{DeviceId, InvalidId, ModuleId};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Where a hub is. The port is an extension of ours: the SDKs hard-code theirs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Host {
    /// The name or address.
    pub name: String,
    /// The port, where it is not the protocol's own.
    pub port: Option<u16>,
}

/// What a device or module connects with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeviceConnectionString {
    /// The hub.
    pub host: Host,
    /// The device.
    pub device: DeviceId,
    /// The module on it, if that is what connects.
    pub module: Option<ModuleId>,
    /// Signs the tokens.
    pub key: SymmetricKey,
}

/// What a device or module connects with that has a certificate: `HostName=…;DeviceId=…;x509=true`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct X509ConnectionString {
    /// The hub.
    pub host: Host,
    /// The device.
    pub device: DeviceId,
    /// The module on it, if that is what connects.
    pub module: Option<ModuleId>,
}

/// What a back end connects with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceConnectionString {
    /// The hub.
    pub host: Host,
    /// The shared access policy.
    pub policy: String,
    /// Signs the tokens.
    pub key: SymmetricKey,
}

/// Why a text is no connection string.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidConnectionString {
    /// A part is not of the form `Name=value`.
    #[error("connection string has the part {0:?}, expected Name=value")]
    Part(String),
    /// A name stands in it twice.
    #[error("connection string has {0} twice")]
    Twice(String),
    /// A name is not known.
    #[error(
        "connection string has {0:?}, expected HostName, DeviceId, ModuleId, SharedAccessKeyName, SharedAccessKey"
    )]
    Unknown(String),
    /// A name is missing.
    #[error("connection string has no {0}")]
    Missing(&'static str),
    /// It authenticates with a certificate, which needs more than a connection string.
    #[error("connection string has x509=true, expected a SharedAccessKey")]
    X509,
    /// It authenticates with a key where a certificate is to do it.
    #[error("connection string has no x509=true, expected it beside a certificate")]
    NoX509,
    /// The port is none.
    #[error("connection string has the port {0:?}, expected a number up to 65535")]
    Port(String),
    /// The key is none.
    #[error("connection string: {0}")]
    Key(#[from] InvalidKey),
    /// The device or module id is none.
    #[error("connection string: {0}")]
    Id(#[from] InvalidId),
}

impl Host {
    /// Parses `name` or `name:port`.
    ///
    /// # Errors
    ///
    /// Says what the port is if it is none.
    pub fn parse(text: &str) -> Result<Self, InvalidConnectionString> {
        let Some((name, port)) = text.split_once(':') else {
            return Ok(Self { name: text.to_owned(), port: None });
        };
        let port = port.parse().map_err(|_| InvalidConnectionString::Port(port.to_owned()))?;
        Ok(Self { name: name.to_owned(), port: Some(port) })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl DeviceConnectionString {
    /// Parses a device's or a module's connection string.
    ///
    /// # Errors
    ///
    /// Names the part that is wrong or missing.
    pub fn parse(text: &str) -> Result<Self, InvalidConnectionString> {
        let parts = Parts::parse(text)?;
        Ok(Self {
            host: Host::parse(parts.required("HostName")?)?,
            device: DeviceId::parse(parts.required("DeviceId")?)?,
            module: parts.optional("ModuleId").map(ModuleId::parse).transpose()?,
            key: parts.key()?,
        })
    }

    /// A token for this device or module that ends at `expiry`, in seconds since 1970.
    pub fn token(&self, expiry: u64) -> String {
        let mut resource = format!("{}/devices/{}", self.host.name, self.device);
        if let Some(module) = &self.module {
            resource.push_str("/modules/");
            resource.push_str(module.as_str());
        }
        sas::sign(&encode(&resource), expiry, None, &self.key)
    }
}

impl fmt::Display for DeviceConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_device(f, &self.host, &self.device, self.module.as_ref())?;
        write!(f, ";SharedAccessKey={}", self.key.as_base64())
    }
}

impl fmt::Display for X509ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_device(f, &self.host, &self.device, self.module.as_ref())?;
        f.write_str(";x509=true")
    }
}

fn write_device(
    f: &mut fmt::Formatter<'_>,
    host: &Host,
    device: &DeviceId,
    module: Option<&ModuleId>,
) -> fmt::Result {
    write!(f, "HostName={host};DeviceId={device}")?;
    module.map_or(Ok(()), |module| write!(f, ";ModuleId={module}"))
}

impl X509ConnectionString {
    /// Parses the connection string of a device or a module with a certificate.
    ///
    /// # Errors
    ///
    /// Names the part that is wrong or missing.
    pub fn parse(text: &str) -> Result<Self, InvalidConnectionString> {
        let parts = Parts::parse(text)?;
        if !parts.is_x509() {
            return Err(InvalidConnectionString::NoX509);
        }
        Ok(Self {
            host: Host::parse(parts.required("HostName")?)?,
            device: DeviceId::parse(parts.required("DeviceId")?)?,
            module: parts.optional("ModuleId").map(ModuleId::parse).transpose()?,
        })
    }
}

impl ServiceConnectionString {
    /// Parses a shared access policy's connection string.
    ///
    /// # Errors
    ///
    /// Names the part that is wrong or missing.
    pub fn parse(text: &str) -> Result<Self, InvalidConnectionString> {
        let parts = Parts::parse(text)?;
        Ok(Self {
            host: Host::parse(parts.required("HostName")?)?,
            policy: parts.required("SharedAccessKeyName")?.to_owned(),
            key: parts.key()?,
        })
    }

    /// What a reader of the hub's events takes, for one of its event hubs.
    pub fn event_hub_string(&self, event_hub: &str) -> String {
        format!(
            "Endpoint=sb://{}/;SharedAccessKeyName={};SharedAccessKey={};EntityPath={event_hub}",
            self.host.name,
            self.policy,
            self.key.as_base64()
        )
    }

    /// A token for the hub that ends at `expiry`, in seconds since 1970.
    pub fn token(&self, expiry: u64) -> String {
        sas::sign(&encode(&self.host.name), expiry, Some(&self.policy), &self.key)
    }
}

impl fmt::Display for ServiceConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "HostName={};SharedAccessKeyName={};SharedAccessKey={}",
            self.host,
            self.policy,
            self.key.as_base64()
        )
    }
}

const KNOWN: [&str; 8] = [
    "HostName",
    "GatewayHostName",
    "DeviceId",
    "ModuleId",
    "SharedAccessKeyName",
    "SharedAccessKey",
    "SharedAccessSignature",
    "x509",
];

struct Parts<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Parts<'a> {
    fn parse(text: &'a str) -> Result<Self, InvalidConnectionString> {
        let mut parts = Self(Vec::new());
        for part in text.trim().split(';').filter(|part| !part.is_empty()) {
            let (name, value) = part
                .split_once('=')
                // What is no pair may be a piece of a key; only its length is told.
                .ok_or_else(|| {
                    InvalidConnectionString::Part(format!("({} characters)", part.len()))
                })?;
            if !KNOWN.contains(&name) {
                return Err(InvalidConnectionString::Unknown(name.to_owned()));
            }
            if parts.optional(name).is_some() {
                return Err(InvalidConnectionString::Twice(name.to_owned()));
            }
            parts.0.push((name, value));
        }
        Ok(parts)
    }

    fn optional(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find_map(|(key, value)| (*key == name).then_some(*value))
    }

    fn required(&self, name: &'static str) -> Result<&'a str, InvalidConnectionString> {
        self.optional(name)
            .filter(|value| !value.is_empty())
            .ok_or(InvalidConnectionString::Missing(name))
    }

    fn is_x509(&self) -> bool {
        self.optional("x509").is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    fn key(&self) -> Result<SymmetricKey, InvalidConnectionString> {
        if self.is_x509() {
            return Err(InvalidConnectionString::X509);
        }
        Ok(SymmetricKey::parse(self.required("SharedAccessKey")?)?)
    }
}

/// Everything but what RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Percent-encodes a path segment or the resource of a token.
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn a_device_s_token_is_the_one_computed_outside() {
        let text = format!("HostName=hub.example.test;DeviceId=dev1;SharedAccessKey={KEY}");
        let token = DeviceConnectionString::parse(&text).unwrap().token(1_893_456_000);
        assert_eq!(
            token,
            "SharedAccessSignature sr=hub.example.test%2Fdevices%2Fdev1&sig=gbYCjfUcPVZ2PefzEryu9KAsLg9ZQx28MqYtYDDtPUE%3D&se=1893456000"
        );
    }

    #[test]
    fn a_service_s_token_is_the_one_computed_outside() {
        let text = "HostName=myhub.azure-devices.net;SharedAccessKeyName=iothubowner;SharedAccessKey=c2VjcmV0LWtleS0wMTIzNDU2Nzg5YWJjZGVm";
        let token = ServiceConnectionString::parse(text).unwrap().token(1_893_456_000);
        assert_eq!(
            token,
            "SharedAccessSignature sr=myhub.azure-devices.net&sig=qemmIeoWzgnfi1ydMModJsuhm%2FEAuRipl8g4qt%2Bc4so%3D&se=1893456000&skn=iothubowner"
        );
    }

    #[test]
    fn a_device_with_a_certificate_has_no_key() {
        let string = X509ConnectionString::parse("HostName=h:1;DeviceId=d;ModuleId=m;x509=true");
        let string = string.unwrap();
        assert_eq!((string.host.to_string().as_str(), string.device.as_str()), ("h:1", "d"));
        assert_eq!(string.module.map(|module| module.to_string()).as_deref(), Some("m"));
        let with_key = format!("HostName=h;DeviceId=d;SharedAccessKey={KEY}");
        let refused = Err(InvalidConnectionString::NoX509);
        assert_eq!(X509ConnectionString::parse(&with_key), refused);
    }

    #[test]
    fn texts_survive_the_round_trip() {
        for host in ["127.0.0.1", "127.0.0.1:8443"] {
            let device = format!("HostName={host};DeviceId=d;ModuleId=m;SharedAccessKey={KEY}");
            assert_eq!(DeviceConnectionString::parse(&device).unwrap().to_string(), device);
            let service =
                format!("HostName={host};SharedAccessKeyName=iothubowner;SharedAccessKey={KEY}");
            assert_eq!(ServiceConnectionString::parse(&service).unwrap().to_string(), service);
        }
    }

    #[test]
    fn mistakes_are_named() {
        use InvalidConnectionString as E;
        let table = [
            ("".to_owned(), E::Missing("HostName")),
            ("nonsense".to_owned(), E::Part("(8 characters)".to_owned())),
            ("HostName=h;DeviceId=d".to_owned(), E::Missing("SharedAccessKey")),
            ("HostName=h;HostName=h".to_owned(), E::Twice("HostName".to_owned())),
            ("Host=h".to_owned(), E::Unknown("Host".to_owned())),
            ("HostName=h;DeviceId=d;x509=true".to_owned(), E::X509),
            ("HostName=h:x;DeviceId=d".to_owned(), E::Port("x".to_owned())),
            (
                format!("HostName=h;DeviceId=a b;SharedAccessKey={KEY}"),
                InvalidId::Character(' ').into(),
            ),
            ("HostName=h;DeviceId=d;SharedAccessKey=AAAA".to_owned(), InvalidKey::Length(3).into()),
        ];
        for (text, expected) in table {
            assert_eq!(DeviceConnectionString::parse(&text), Err(expected), "{text}");
        }
    }
}
