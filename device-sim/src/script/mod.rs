//! Scripts: a TOML file that says what a simulated device reports, sends and answers.
//!
//! The format is described in the crate's `README.md`. All mistakes of a file are found at once,
//! each with its line and the path of the value.

mod reader;
mod sections;

use std::fmt;

use crate::behavior::Response;
use crate::configuration::Configuration;
use crate::document::Properties;
use crate::methods::Method;
use crate::telemetry::Template;

/// What a device does. The default is the tutorial's device.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// What it reports besides its configuration.
    pub reported: Properties,
    /// The configuration that it starts with, unless its twin already holds one.
    pub configuration: Configuration,
    /// What it sends.
    pub telemetry: Vec<Template>,
    /// What it does when a desired property other than the configuration changes.
    pub responses: Vec<(String, Response)>,
    /// How it answers direct methods; to any other it says that it does not know it.
    pub methods: Vec<(String, Method)>,
}

/// Something in a script that is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mistake {
    /// The line, counted from 1.
    pub line: usize,
    /// The path of the value, such as `telemetry[0].every`; empty if the file is no TOML.
    pub path: String,
    /// What is wrong.
    pub what: String,
}

/// All that is wrong with a script, from top to bottom; never empty.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mistakes(Vec<Mistake>);

impl Script {
    /// Parses a script.
    ///
    /// # Errors
    ///
    /// Names every mistake in it.
    pub fn parse(text: &str) -> Result<Self, Mistakes> {
        sections::read(text).map_err(|mut mistakes| {
            mistakes.sort_by_key(|mistake| mistake.line);
            Mistakes(mistakes)
        })
    }
}

impl Default for Script {
    fn default() -> Self {
        Self {
            reported: Properties::new(),
            configuration: Configuration::initial(),
            telemetry: vec![Template::usual()],
            responses: Vec::new(),
            methods: Vec::new(),
        }
    }
}

impl Mistakes {
    /// The mistakes, from top to bottom.
    pub fn iter(&self) -> std::slice::Iter<'_, Mistake> {
        self.0.iter()
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        if !self.path.is_empty() {
            write!(f, "{} ", self.path)?;
        }
        f.write_str(&self.what)
    }
}

impl fmt::Display for Mistakes {
    /// One line per mistake.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

#[cfg(test)]
mod tests;
