//! `route test`: which routes a message takes, and why it does not take the others.

use std::fs;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use iothub_core::event::{Event, EventSource, Message, SystemProperty};
use iothub_core::ids::{DeviceId, GenerationId, IdentityId, ModuleId};
use iothub_core::query::RouteCondition;
use iothub_core::query::message::MessageDocument;
use iothub_core::route::Routing;
use iothub_core::route::trial::{self, NamedValue, Trial, Verdict};
use iothub_core::store::Record;
use iothub_core::time::{Clock as _, Timestamp};
use iothub_emulator::StartError;
use iothub_emulator::clock::SystemClock;
use iothub_emulator::config::Config;
use serde_json::{Value, json};

use crate::USAGE;
use crate::output::{print, tell};

/// No route takes the message.
const NO_MATCH: u8 = 1;

/// What to do with routes.
#[derive(Debug, Subcommand)]
pub(crate) enum RouteCommand {
    /// Try a message on the routes of the configuration, or on a condition, without sending it
    #[command(after_help = "\
Ends with 0 if a route takes the message, with 1 if none does, and with 2 if something said is wrong.

Examples:
  iothub-emulator route test --config emulator.toml --property alert=yes --body '{\"t\": 31}'
  iothub-emulator route test --condition '$body.t > 30 AND $twin.tags.floor = 3' \\
      --body '{\"t\": 31}' --twin '{\"tags\": {\"floor\": 3}}'")]
    Test(TestArgs),
}

/// A message, and what to try it on.
#[derive(Args, Debug)]
pub(crate) struct TestArgs {
    /// Only this route [default: all of the configuration]
    #[arg(long, value_name = "NAME", conflicts_with = "condition")]
    route: Option<String>,
    /// A condition to try, in the place of the configuration's routes
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
    #[arg(long, value_name = "ID", default_value = "device", value_parser = device)]
    device_id: DeviceId,
    /// Module of the sender
    #[arg(long, value_name = "ID", value_parser = module)]
    module_id: Option<ModuleId>,
    /// Twin of the sender as JSON with tags and properties, or @FILE
    #[arg(long, value_name = "JSON")]
    twin: Option<String>,
    /// How the outcome is written
    #[arg(long, short, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Output {
    Text,
    Json,
}

const SYSTEM: [(&str, SystemProperty); 6] = [
    ("messageId", SystemProperty::MessageId),
    ("correlationId", SystemProperty::CorrelationId),
    ("userId", SystemProperty::UserId),
    ("contentType", SystemProperty::ContentType),
    ("contentEncoding", SystemProperty::ContentEncoding),
    ("dt-subject", SystemProperty::Component),
];

/// Tries a message, and tells what became of it.
pub(crate) fn test(config: &Config, args: &TestArgs) -> ExitCode {
    let trial = match try_it(config, args) {
        Ok(trial) => trial,
        Err(why) => {
            tell(format_args!("error: {why}"));
            return ExitCode::from(USAGE);
        }
    };
    let matched = trial.routes.iter().any(|verdict| verdict.matched);
    let shown = match args.output {
        Output::Text => text(&trial),
        Output::Json => format!("{:#}\n", as_json(&trial)),
    };
    if let Err(error) = print(&shown) {
        tell(format_args!("error: standard output cannot be written: {error}"));
        return ExitCode::from(USAGE);
    }
    if matched { ExitCode::SUCCESS } else { ExitCode::from(NO_MATCH) }
}

fn try_it(config: &Config, args: &TestArgs) -> Result<Trial, String> {
    let event = args.event(SystemClock.now())?;
    let sender = args.sender(&event.sender)?;
    if let Some(text) = &args.condition {
        let condition = RouteCondition::parse(text).map_err(|why| why.to_string())?;
        let message = MessageDocument::new(&event, sender);
        let verdict = trial::try_condition("condition", &condition, &message);
        return Ok(Trial { routes: vec![verdict], endpoints: Vec::new() });
    }
    let routing = Routing::new(&config.routing);
    let routing = routing.map_err(|mistakes| StartError::Routing(mistakes).to_string())?;
    let mut trial = routing.try_message(&event, sender);
    if let Some(name) = &args.route {
        let names: Vec<_> = trial.routes.iter().map(|verdict| verdict.route.clone()).collect();
        trial.routes.retain(|verdict| verdict.route.eq_ignore_ascii_case(name));
        trial.endpoints.clear();
        if trial.routes.is_empty() {
            return Err(format!(
                "there is no route {name:?}, expected one of {}",
                names.join(", ")
            ));
        }
    }
    Ok(trial)
}

impl TestArgs {
    fn event(&self, now: Timestamp) -> Result<Event, String> {
        let body = text_or_file(&self.body)?;
        let mut system = self.system.clone();
        let json = [
            (SystemProperty::ContentType, "application/json"),
            (SystemProperty::ContentEncoding, "utf-8"),
        ];
        if serde_json::from_str::<Value>(&body).is_ok() {
            for (property, value) in json {
                if !system.iter().any(|(said, _)| *said == property) {
                    system.push((property, value.to_owned()));
                }
            }
        }
        let application = self.property.iter();
        let application = application.map(|(name, value)| (name.clone(), Some(value.clone())));
        Ok(Event {
            message: Message { system, application: application.collect(), body: body.into() },
            sender: IdentityId { device: self.device_id.clone(), module: self.module_id.clone() },
            generation: GenerationId::at(now),
            auth_method: None,
            enqueued: now,
            model_id: None,
            source: self.source,
        })
    }

    fn sender(&self, id: &IdentityId) -> Result<Option<Arc<Record>>, String> {
        let Some(text) = &self.twin else { return Ok(None) };
        let text = text_or_file(text)?;
        let Ok(Value::Object(document)) = serde_json::from_str(&text) else {
            return Err(format!("--twin is {text:?}, expected a JSON object"));
        };
        trial::sender(id, &document)
            .map(|record| Some(Arc::new(record)))
            .map_err(|why| why.to_string())
    }
}

/// What was said, or what the file behind an `@` holds.
fn text_or_file(said: &str) -> Result<String, String> {
    match said.strip_prefix('@') {
        None => Ok(said.to_owned()),
        Some(path) => {
            fs::read_to_string(path).map_err(|why| format!("{path} cannot be read: {why}"))
        }
    }
}

fn text(trial: &Trial) -> String {
    let mut text = String::new();
    for Verdict { route, matched, reason, values } in &trial.routes {
        let word = if *matched { "matches" } else { "does not match" };
        text.push_str(&format!("{route}: {word}, {reason}\n"));
        for NamedValue { name, value, missing } in values {
            let shown = match (value, missing) {
                (Some(value), _) => format!("= {value}"),
                (None, why) => format!("is undefined: {}", why.as_deref().unwrap_or_default()),
            };
            text.push_str(&format!("    {name} {shown}\n"));
        }
    }
    if !trial.endpoints.is_empty() {
        text.push_str(&format!("goes to: {}\n", trial.endpoints.join(", ")));
    }
    text
}

fn as_json(trial: &Trial) -> Value {
    let routes: Vec<_> = trial
        .routes
        .iter()
        .map(|verdict| {
            let values: Vec<_> = verdict
                .values
                .iter()
                .map(|one| json!({ "name": one.name, "value": one.value, "missing": one.missing }))
                .collect();
            json!({
                "route": verdict.route,
                "matched": verdict.matched,
                "reason": verdict.reason,
                "values": values,
            })
        })
        .collect();
    json!({ "routes": routes, "endpoints": trial.endpoints })
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
    let found = SYSTEM.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name));
    let names = || SYSTEM.map(|(name, _)| name).join(", ");
    let (_, property) = found.ok_or_else(|| format!("expected one of {}", names()))?;
    Ok((*property, value))
}

fn device(text: &str) -> Result<DeviceId, String> {
    DeviceId::parse(text).map_err(|why| why.to_string())
}

fn module(text: &str) -> Result<ModuleId, String> {
    ModuleId::parse(text).map_err(|why| why.to_string())
}
