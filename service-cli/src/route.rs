//! What a message to try on routes looks like on a command line: that of `service-cli`, which asks a
//! running emulator, and that of `iothub-emulator`, which asks a file.

use std::fs;

use clap::Args;
use iothub_core::event::{EventSource, Message, SystemProperty};
use iothub_core::ids::{DeviceId, IdentityId, ModuleId};
use iothub_core::route::trial::{TestInput, Tried};
use iothub_core::twin::Document;
use iothub_wire::json::event::sent_property;
use serde_json::Value;

/// A message, and what to try it on.
#[derive(Args, Clone, Debug)]
pub struct TrialArgs {
    /// Only this route [default: all of them]
    #[arg(long, value_name = "NAME", conflicts_with = "condition")]
    route: Option<String>,
    /// A condition to try, in the place of the routes
    #[arg(long, value_name = "CONDITION")]
    condition: Option<String>,
    /// What the message is: DeviceMessages, TwinChangeEvents, DeviceLifecycleEvents,
    /// DeviceConnectionStateEvents or DigitalTwinChangeEvents
    #[arg(long, value_name = "SOURCE", default_value = "DeviceMessages", value_parser = source)]
    source: EventSource,
    /// Body of the message, or @FILE
    #[arg(long, value_name = "TEXT", default_value = "")]
    body: String,
    /// Application property; may be given several times
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = pair)]
    property: Vec<(String, String)>,
    /// System property: messageId, correlationId, userId, contentType, contentEncoding or
    /// dt-subject; may be given several times [default: contentType=application/json and
    /// contentEncoding=utf-8 if the body is JSON]
    #[arg(long, value_name = "NAME=VALUE", value_parser = system)]
    system: Vec<(SystemProperty, String)>,
    /// Sender
    #[arg(long, value_name = "ID", default_value = "device", value_parser = DeviceId::parse)]
    device_id: DeviceId,
    /// Module of the sender
    #[arg(long, value_name = "ID", value_parser = ModuleId::parse)]
    module_id: Option<ModuleId>,
    /// Twin of the sender as JSON with tags and properties, or @FILE
    #[arg(long, value_name = "JSON")]
    twin: Option<String>,
}

impl TrialArgs {
    /// What is to be tried.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or a twin is no JSON object.
    pub fn input(self) -> Result<TestInput, String> {
        let tried = match (self.route, self.condition) {
            (Some(name), _) => Tried::Route(name),
            (None, Some(text)) => Tried::Condition(text),
            (None, None) => Tried::Routes,
        };
        let application = self.property.into_iter().map(|(name, value)| (name, Some(value)));
        let body = text_or_file(self.body)?;
        let message = Message {
            system: with_type_of(&body, self.system),
            application: application.collect(),
            body: body.into(),
        };
        let sender = IdentityId { device: self.device_id, module: self.module_id };
        let twin = self.twin.map(twin).transpose()?;
        Ok(TestInput { source: self.source, message, sender, twin, tried })
    }
}

/// Says of a body that is JSON that it is: who tries a condition on `$body` means that.
fn with_type_of(
    body: &str,
    mut system: Vec<(SystemProperty, String)>,
) -> Vec<(SystemProperty, String)> {
    let json = [
        (SystemProperty::ContentType, "application/json"),
        (SystemProperty::ContentEncoding, "utf-8"),
    ];
    if serde_json::from_str::<Value>(body).is_ok() {
        for (property, value) in json {
            if !system.iter().any(|(said, _)| *said == property) {
                system.push((property, value.to_owned()));
            }
        }
    }
    system
}

fn twin(said: String) -> Result<Document, String> {
    let text = text_or_file(said)?;
    match serde_json::from_str(&text) {
        Ok(Value::Object(twin)) => Ok(twin),
        _ => Err(format!("--twin is {text:?}, expected a JSON object")),
    }
}

/// What was said, or what the file behind an `@` holds.
fn text_or_file(said: String) -> Result<String, String> {
    match said.strip_prefix('@') {
        None => Ok(said),
        Some(path) => {
            fs::read_to_string(path).map_err(|why| format!("{path} cannot be read: {why}"))
        }
    }
}

fn source(text: &str) -> Result<EventSource, String> {
    EventSource::of_route(text).ok_or_else(|| {
        format!("expected one of {}", EventSource::ALL.map(EventSource::route_source).join(", "))
    })
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn system(text: &str) -> Result<(SystemProperty, String), String> {
    let (name, value) = pair(text)?;
    let property = sent_property(&name);
    Ok((property.ok_or_else(|| format!("{name:?} is no system property"))?, value))
}
