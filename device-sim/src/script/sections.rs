//! The sections of a script, each read by a function of its own.

use toml::de::DeTable;

use super::reader::{Place, Reader, Table};
use super::{Mistake, Script};
use crate::behavior::Response;
use crate::configuration::{CONFIG_ID, ConfigId, Configuration, SEND_FREQUENCY};
use crate::document::Properties;
use crate::methods::Method;
use crate::span::Span;
use crate::telemetry::{Generator, Node, Template};

/// Properties that the configuration itself reports.
const OWN: [&str; 5] = [CONFIG_ID, SEND_FREQUENCY, "pendingConfig", "status", "statusReason"];

pub(super) fn read(text: &str) -> Result<Script, Vec<Mistake>> {
    let mut reader = Reader::new(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        reader.syntax(error);
    }
    let mut script = Script::default();
    if errors.is_empty() {
        let mut top = Table::new(table.get_ref(), "", 0);
        sections(&mut reader, &mut top, &mut script);
        top.finish(&mut reader);
    }
    let mistakes = reader.finish();
    if mistakes.is_empty() { Ok(script) } else { Err(mistakes) }
}

fn sections<'a>(reader: &mut Reader<'a>, top: &mut Table<'a>, script: &mut Script) {
    if let Some(place) = top.optional("reported") {
        script.reported = reported(reader, &place).unwrap_or_default();
    }
    if let Some(place) = top.optional("configuration") {
        configuration(reader, &place, &mut script.configuration);
    }
    if let Some(place) = top.optional("telemetry") {
        let items = reader.array(&place).unwrap_or_default();
        script.telemetry = items.iter().filter_map(|item| template(reader, item)).collect();
    }
    if let Some(place) = top.optional("desired") {
        script.responses = responses(reader, &place).unwrap_or_default();
    }
    if let Some(place) = top.optional("methods") {
        script.methods = methods(reader, &place).unwrap_or_default();
    }
}

fn reported<'a>(reader: &mut Reader<'a>, place: &Place<'a>) -> Option<Properties> {
    let mut properties = Properties::new();
    for (name, place) in reader.table(place)?.into_members() {
        property_name(reader, name, &place);
        if let Some(value) = reader.json(&place) {
            properties.insert(name.to_owned(), value);
        }
    }
    Some(properties)
}

fn property_name(reader: &mut Reader<'_>, name: &str, place: &Place<'_>) {
    if OWN.contains(&name) {
        reader.mistake::<()>(place, "belongs to the configuration, expected another name");
    }
    if let Some(c) = name.chars().find(|c| matches!(c, '.' | '$' | '#' | ' ') || c.is_control()) {
        reader.mistake::<()>(place, format!("has {c:?} in its name, which no twin takes"));
    }
}

fn configuration<'a>(reader: &mut Reader<'a>, place: &Place<'a>, into: &mut Configuration) {
    let Some(mut table) = reader.table(place) else { return };
    if let Some(place) = table.optional(CONFIG_ID)
        && let Some(value) = reader.json(&place)
    {
        match ConfigId::parse(&value) {
            Ok(id) => into.config_id = id,
            Err(_) => {
                reader
                    .mistake::<()>(&place, format!("is {value}, expected an integer or a string"));
            }
        }
    }
    if let Some(place) = table.optional(SEND_FREQUENCY)
        && let Some(span) = reader.parsed::<Span>(&place)
    {
        into.send_frequency = span;
    }
    table.finish(reader);
}

fn template<'a>(reader: &mut Reader<'a>, place: &Place<'a>) -> Option<Template> {
    let mut table = reader.table(place)?;
    let every = table.optional("every").and_then(|place| reader.parsed(&place));
    let properties = table.optional("properties").and_then(|place| strings(reader, &place));
    let body = table.required("body", reader).and_then(|place| node(reader, &place));
    table.finish(reader);
    Some(Template { every, properties: properties.unwrap_or_default(), body: body? })
}

fn strings<'a>(reader: &mut Reader<'a>, place: &Place<'a>) -> Option<Vec<(String, String)>> {
    let members = reader.table(place)?.into_members();
    let string =
        |(name, place): (&str, Place<'a>)| Some((name.to_owned(), reader.text(&place)?.to_owned()));
    Some(members.filter_map(string).collect())
}

/// A table with the name of a generator as its only member is that generator; any other table is
/// an object of the message.
fn node<'a>(reader: &mut Reader<'a>, place: &Place<'a>) -> Option<Node> {
    if !place.is_table() {
        return reader.json(place).map(Node::Constant);
    }
    let mut table = reader.table(place)?;
    let names: Vec<_> = table.names().collect();
    match names.as_slice() {
        ["constant"] => {
            let place = table.required("constant", reader)?;
            reader.json(&place).map(Node::Constant)
        }
        ["counter"] => {
            let place = table.required("counter", reader)?;
            counter(reader, &place).map(Node::Generator)
        }
        ["sine"] => {
            let place = table.required("sine", reader)?;
            sine(reader, &place).map(Node::Generator)
        }
        ["walk"] => {
            let place = table.required("walk", reader)?;
            walk(reader, &place).map(Node::Generator)
        }
        _ => {
            let members: Vec<_> = table
                .into_members()
                .map(|(name, place)| Some((name.to_owned(), node(reader, &place)?)))
                .collect();
            members.into_iter().collect::<Option<_>>().map(Node::Object)
        }
    }
}

fn counter<'a>(reader: &mut Reader<'a>, place: &Place<'a>) -> Option<Generator> {
    let mut table = reader.table(place)?;
    let mut integer = |name, usual| match table.optional(name) {
        Some(place) => reader.integer(&place),
        None => Some(usual),
    };
    let (start, step) = (integer("start", 0), integer("step", 1));
    table.finish(reader);
    Some(Generator::Counter { start: start?, step: step? })
}

fn sine<'a>(reader: &mut Reader<'a>, place: &Place<'a>) -> Option<Generator> {
    let mut table = reader.table(place)?;
    let period = table.required("period", reader).and_then(|place| reader.parsed(&place));
    let amplitude = table.required("amplitude", reader).and_then(|place| reader.number(&place));
    let offset = match table.optional("offset") {
        Some(place) => reader.number(&place),
        None => Some(0.0),
    };
    table.finish(reader);
    Some(Generator::Sine { period: period?, amplitude: amplitude?, offset: offset? })
}

fn walk<'a>(reader: &mut Reader<'a>, place: &Place<'a>) -> Option<Generator> {
    let mut table = reader.table(place)?;
    let mut number = |name| table.required(name, reader).and_then(|place| reader.number(&place));
    let (start, step) = (number("start"), number("step"));
    let (min, max) = (number("min"), number("max"));
    let seed = match table.optional("seed") {
        Some(place) => reader.integer(&place),
        None => Some(0),
    };
    table.finish(reader);
    let (start, min, max) = (start?, min?, max?);
    if !(min..=max).contains(&start) {
        let what = format!("has start {start}, expected it from min {min} to max {max}");
        return reader.mistake(place, what);
    }
    Some(Generator::Walk { start, step: step?, min, max, seed: seed? })
}

fn responses<'a>(reader: &mut Reader<'a>, place: &Place<'a>) -> Option<Vec<(String, Response)>> {
    let mut responses = Vec::new();
    for (name, place) in reader.table(place)?.into_members() {
        property_name(reader, name, &place);
        if let Some(response) = response(reader, &place) {
            responses.push((name.to_owned(), response));
        }
    }
    Some(responses)
}

fn methods<'a>(reader: &mut Reader<'a>, place: &Place<'a>) -> Option<Vec<(String, Method)>> {
    let members = reader.table(place)?.into_members();
    Some(
        members
            .filter_map(|(name, place)| Some((name.to_owned(), method(reader, &place)?)))
            .collect(),
    )
}

/// `{ status = 200, payload = …, delay = "3s" }`, all of it optional.
fn method<'a>(reader: &mut Reader<'a>, place: &Place<'a>) -> Option<Method> {
    let mut table = reader.table(place)?;
    let mut method = Method::success();
    if let Some(place) = table.optional("status") {
        method.status = reader.integer(&place).unwrap_or_default();
    }
    if let Some(place) = table.optional("payload") {
        method.payload = reader.json(&place).unwrap_or_default();
    }
    if let Some(place) = table.optional("delay") {
        let delay = reader.parsed::<Span>(&place);
        method.delay = delay.map(|delay| delay.length()).unwrap_or_default();
    }
    table.finish(reader);
    Some(method)
}

/// `"ignore"`, `"echo"`, `{ apply-after = "3s" }` or `{ refuse = "why" }`.
fn response<'a>(reader: &mut Reader<'a>, place: &Place<'a>) -> Option<Response> {
    if place.is_text() {
        return match reader.text(place)? {
            "ignore" => Some(Response::Ignore),
            "echo" => Some(Response::Echo),
            other => reader.mistake(place, format!("is {other:?}, expected {RESPONSES}")),
        };
    }
    if !place.is_table() {
        return reader.mistake(place, format!("is no response, expected {RESPONSES}"));
    }
    let mut table = reader.table(place)?;
    let apply = table.optional("apply-after");
    let refuse = table.optional("refuse");
    table.finish(reader);
    match (apply, refuse) {
        (Some(place), None) => reader.parsed(&place).map(Response::ApplyAfter),
        (None, Some(place)) => reader.text(&place).map(|text| Response::Refuse(text.to_owned())),
        _ => reader.mistake(place, format!("is no single response, expected {RESPONSES}")),
    }
}

const RESPONSES: &str =
    "\"ignore\", \"echo\", { apply-after = \"3s\" } or { refuse = \"the reason\" }";
