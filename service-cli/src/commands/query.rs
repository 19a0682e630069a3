//! `query`: asks the service's query language, and brings all pages of the answer.

use clap::Args;
use serde_json::Value;

use crate::args::Format;
use crate::commands::{Failure, Session, Verdict};
use crate::output::{self, cell, table};

/// What to ask, and how much of the answer is wanted.
#[derive(Args, Debug)]
pub(crate) struct QueryArgs {
    /// The query, for example: SELECT * FROM devices WHERE tags.floor = 2
    query: String,
    /// Rows to ask for at once; the service has a bound of its own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    page_size: Option<u32>,
    /// Stop after so many rows
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

/// All that was brought.
struct Found {
    rows: Vec<Value>,
    twins: bool,
    /// Whether the service has more.
    more: bool,
}

pub(crate) fn run(session: &mut Session<'_>, args: &QueryArgs) -> Result<Verdict, Failure> {
    let found = fetch(session, args)?;
    match session.out.format() {
        Format::Json => session.out.document(&Value::Array(found.rows))?,
        Format::Text if found.rows.is_empty() => output::warn("no rows"),
        Format::Text if found.twins => session.out.write(&twins(&found.rows))?,
        Format::Text => session.out.write(&rows(&found.rows))?,
    }
    if found.more {
        output::warn("there are more rows than --limit allows");
    }
    Ok(Verdict::Yes)
}

fn fetch(session: &Session<'_>, args: &QueryArgs) -> Result<Found, Failure> {
    let limit = args.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let mut found = Found { rows: Vec::new(), twins: false, more: false };
    let mut continuation = None;
    loop {
        let page = session.client.query(&args.query, args.page_size, continuation.as_deref())?;
        found.rows.extend(page.rows);
        found.twins = page.twins;
        found.more =
            found.rows.len() > limit || (found.rows.len() == limit && page.continuation.is_some());
        found.rows.truncate(limit);
        continuation = page.continuation;
        if continuation.is_none() || found.rows.len() == limit {
            return Ok(found);
        }
    }
}

/// Whole twins, one per row: what most want to see of each.
fn twins(twins: &[Value]) -> String {
    let modules = twins.iter().any(|twin| twin.get("moduleId").is_some());
    let mut columns = vec![
        ("device", "deviceId"),
        ("status", "status"),
        ("connection", "connectionState"),
        ("version", "version"),
        ("last activity", "lastActivityTime"),
        ("tags", "tags"),
    ];
    if modules {
        columns.insert(1, ("module", "moduleId"));
    }
    let header: Vec<&str> = columns.iter().map(|(title, _)| *title).collect();
    let row = |twin: &Value| columns.iter().map(|(_, name)| cell(twin.get(name))).collect();
    table(&header, twins.iter().map(row))
}

/// Rows of any shape: a column for each member that some row has, in the order of their coming.
fn rows(rows: &[Value]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in rows.iter().filter_map(Value::as_object).flat_map(|row| row.keys()) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let header: Vec<String> = names.iter().map(|name| cell(Some(&Value::from(*name)))).collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let row = |row: &Value| names.iter().map(|name| cell(row.get(name))).collect();
    table(&header, rows.iter().map(row))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn rows_of_any_shape_are_a_table() {
        let found = [
            json!({"deviceId": "a", "floor": 1}),
            json!({"deviceId": "b", "tags": {"x": [1, null]}, "at": "0001-01-01T00:00:00Z"}),
        ];
        assert_eq!(
            plain(&rows(&found)),
            "deviceId  floor  tags            at\n\
             a         1      -               -\n\
             b         -      {\"x\":[1,null]}  never\n"
        );
        assert_eq!(plain(&rows(&[json!({"n": 3})])), "n\n3\n");
    }

    #[test]
    fn twins_show_what_most_want_to_see() {
        let device = json!({"deviceId": "a", "status": "enabled", "connectionState": "Connected",
            "version": 3, "lastActivityTime": "0001-01-01T00:00:00Z", "tags": {"x": 1}});
        assert_eq!(
            plain(&twins(std::slice::from_ref(&device))),
            "device  status   connection  version  last activity  tags\n\
             a       enabled  Connected   3        never          {\"x\":1}\n"
        );
        let mut module = device;
        module["moduleId"] = json!("m");
        assert!(plain(&twins(&[module])).starts_with("device  module  status"));
    }
}
