//! The names that the server certificate is valid for.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rcgen::SanType;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use crate::config::{Config, HostName};

/// Valid in every server certificate: the machine itself, and the names of the real service, which
/// a hosts file may send here.
const ALWAYS: [&str; 5] = [
    "localhost",
    "*.azure-devices.net",
    "*.device.azure-devices.net",
    "*.service.azure-devices.net",
    "global.azure-devices-provisioning.net",
];

/// A set of names and addresses.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct SubjectNames {
    names: BTreeSet<String>,
    addresses: BTreeSet<IpAddr>,
}

impl SubjectNames {
    /// What a configuration needs.
    pub(super) fn of(config: &Config) -> Self {
        let mut subject = Self {
            names: ALWAYS.into_iter().map(str::to_owned).collect(),
            addresses: [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()].into(),
        };
        if !config.bind.is_unspecified() {
            subject.addresses.insert(config.bind);
        }
        for name in config.hostnames() {
            match name {
                HostName::Address(address) => subject.addresses.insert(*address),
                HostName::Name(name) => subject.names.insert(name.as_str().to_owned()),
            };
        }
        subject
    }

    /// One name and no other.
    pub(super) fn only(name: &str) -> Self {
        Self { names: [name.to_owned()].into(), ..Self::default() }
    }

    /// What a certificate is valid for.
    pub(super) fn in_certificate(certificate: &X509Certificate<'_>) -> Self {
        let mut subject = Self::default();
        let Ok(Some(extension)) = certificate.subject_alternative_name() else {
            return subject;
        };
        for name in &extension.value.general_names {
            match name {
                GeneralName::DNSName(name) => {
                    subject.names.insert((*name).to_owned());
                }
                GeneralName::IPAddress(bytes) => subject.addresses.extend(address(bytes)),
                _ => {}
            }
        }
        subject
    }

    /// Whether all of `needed` are among these.
    pub(super) fn cover(&self, needed: &Self) -> bool {
        self.names.is_superset(&needed.names) && self.addresses.is_superset(&needed.addresses)
    }

    /// The extension's entries.
    pub(super) fn to_extension(&self) -> Result<Vec<SanType>, rcgen::Error> {
        let names = self.names.iter().map(|name| Ok(SanType::DnsName(name.as_str().try_into()?)));
        let addresses = self.addresses.iter().map(|address| Ok(SanType::IpAddress(*address)));
        names.chain(addresses).collect()
    }
}

/// Four bytes are an address, and sixteen are; anything else is none.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    let of_four = <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    of_four.or_else(|| <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from))
}
