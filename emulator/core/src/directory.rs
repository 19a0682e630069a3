//! Which hub a host name means. One process can serve many.

use std::collections::HashMap;
use std::sync::Arc;

use crate::auth::Refusal;
use crate::auth::sas::SasToken;
use crate::hub::Hub;

/// The hubs of a process by host name. Clones are handles to the same directory.
#[derive(Clone, Debug)]
pub struct Directory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    default: Hub,
    /// By host name in lower case, without port.
    by_name: HashMap<String, Hub>,
    strict: bool,
}

impl Directory {
    /// A directory of one hub. Unless `strict`, it answers to any other name too.
    pub fn new(hub: Hub, names: &[String], strict: bool) -> Self {
        let by_name = names.iter().map(|name| (normalize(name), hub.clone())).collect();
        Self(Arc::new(Inner { default: hub, by_name, strict }))
    }

    /// The hub that is meant where no name is given.
    pub fn default_hub(&self) -> &Hub {
        &self.0.default
    }

    /// The hub of a host name, which may come with a port.
    ///
    /// # Errors
    ///
    /// The name is not known, and the directory is strict.
    pub fn find(&self, host: &str) -> Result<&Hub, Refusal> {
        match self.0.by_name.get(&normalize(host)) {
            Some(hub) => Ok(hub),
            None if self.0.strict => Err(Refusal::Hub(host.to_owned())),
            None => Ok(&self.0.default),
        }
    }

    /// The hub of a name as SASL PLAIN has it: the first label of a host name, or all of it.
    ///
    /// # Errors
    ///
    /// As [`Directory::find`].
    pub fn find_named(&self, name: &str) -> Result<&Hub, Refusal> {
        let label = name.to_ascii_lowercase();
        let mut known = self.0.by_name.iter();
        match known.find(|(host, _)| host.split('.').next() == Some(&label)) {
            Some((_, hub)) => Ok(hub),
            None => self.find(name),
        }
    }

    /// The hub of a host name, if the token is for that hub too.
    ///
    /// # Errors
    ///
    /// As [`Directory::find`], or the token is for another hub.
    pub fn find_for(&self, host: &str, token: &SasToken) -> Result<&Hub, Refusal> {
        let hub = self.find(host)?;
        let meant = token.resource().host();
        if self.find(meant)? == hub { Ok(hub) } else { Err(Refusal::Hub(meant.to_owned())) }
    }
}

fn normalize(host: &str) -> String {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    name.to_ascii_lowercase()
}
