//! Identities in bulk: a file with one JSON document per line (`devices.txt`, as import and export
//! jobs have it), in batches to the service, and from the service into such a file.

use std::collections::HashSet;
use std::mem;

use iothub_core::limits;
use serde_json::{Map, Value, json};

use crate::twin::Twin;

/// One identity of a file, and what is to become of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    device: String,
    module: Option<String>,
    document: Map<String, Value>,
}

/// Why a line is no item.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidLine {
    /// It is not JSON.
    #[error("it is not JSON: {0}")]
    Json(String),
    /// It is no object with an id.
    #[error("it is no object with the text \"id\"")]
    Id,
}

impl Item {
    /// Reads a line; a mode that it does not say itself is `mode`.
    ///
    /// # Errors
    ///
    /// It is not JSON, or has no id.
    pub fn parse(line: &str, mode: &str) -> Result<Self, InvalidLine> {
        let document =
            serde_json::from_str(line).map_err(|why| InvalidLine::Json(why.to_string()))?;
        let Value::Object(mut document) = document else { return Err(InvalidLine::Id) };
        let text = |name: &str| document.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
        let device = text("id").ok_or(InvalidLine::Id)?;
        let module = text("moduleId");
        if text("importMode").is_none() {
            document.insert("importMode".to_owned(), json!(mode));
        }
        Ok(Self { device, module, document })
    }
}

/// Gathers items into batches that the service takes: 100 at most, none of them twice, and a
/// module never before its device.
#[derive(Debug, Default)]
pub struct Batches {
    devices: Vec<Item>,
    modules: Vec<Item>,
    ready: Vec<Vec<Value>>,
}

impl Batches {
    /// Takes an item in.
    pub fn push(&mut self, item: Item) {
        if self.clashes(&item) {
            self.close();
        }
        if item.module.is_some() {
            self.modules.push(item);
        } else {
            self.devices.push(item);
        }
        if self.devices.len() >= limits::BULK_ITEMS {
            close(&mut self.devices, &mut self.ready);
        }
        if self.modules.len() >= limits::BULK_ITEMS {
            self.close();
        }
    }

    /// What can be sent, in the order to send it in.
    pub fn ready(&mut self) -> Vec<Vec<Value>> {
        mem::take(&mut self.ready)
    }

    /// What is left, when nothing more comes.
    pub fn finish(mut self) -> Vec<Vec<Value>> {
        self.close();
        self.ready
    }

    /// Whether an item has to wait for one that is gathered already.
    fn clashes(&self, item: &Item) -> bool {
        let same = |other: &Item| other.device == item.device;
        match &item.module {
            None => self.devices.iter().chain(&self.modules).any(same),
            Some(_) => self.modules.iter().any(|other| same(other) && other.module == item.module),
        }
    }

    fn close(&mut self) {
        close(&mut self.devices, &mut self.ready);
        close(&mut self.modules, &mut self.ready);
    }
}

fn close(items: &mut Vec<Item>, ready: &mut Vec<Vec<Value>>) {
    if !items.is_empty() {
        ready.push(items.drain(..).map(|item| Value::Object(item.document)).collect());
    }
}

/// What became of items.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// How many were done.
    pub done: usize,
    /// What the service says of those that were not.
    pub errors: Vec<Value>,
    /// What the service warns of.
    pub warnings: Vec<Value>,
}

impl Tally {
    /// Takes note of the service's result for a batch of so many.
    pub fn add(&mut self, items: usize, result: &Value) {
        let list = |name| match result.get(name) {
            Some(Value::Array(list)) => list.clone(),
            _ => Vec::new(),
        };
        let errors: Vec<Value> = list("errors");
        // An identity can fail and its twin too; it is one identity that is not done.
        let failed: HashSet<String> = errors
            .iter()
            .map(|error| format!("{}/{}", error["deviceId"], error["moduleId"]))
            .collect();
        self.done += items.saturating_sub(failed.len());
        self.errors.extend(errors);
        self.warnings.extend(list("warnings"));
    }
}

/// An identity and its twin as a line of a file has them.
pub fn exported(identity: &Value, twin: &Twin, exclude_keys: bool) -> Value {
    let mut line = Map::new();
    let of_identity = [
        ("deviceId", "id"),
        ("moduleId", "moduleId"),
        ("etag", "eTag"),
        ("status", "status"),
        ("statusReason", "statusReason"),
        ("managedBy", "managedBy"),
        ("authentication", "authentication"),
    ];
    for (name, named) in of_identity {
        copy(identity.get(name), named, &mut line);
    }
    if exclude_keys && let Some(Value::Object(authentication)) = line.get_mut("authentication") {
        authentication.insert("symmetricKey".to_owned(), Value::Null);
    }
    for (name, named) in [("etag", "twinETag"), ("tags", "tags"), ("properties", "properties")] {
        copy(twin.field(name), named, &mut line);
    }
    for name in ["capabilities", "deviceScope", "parentScopes"] {
        copy(identity.get(name), name, &mut line);
    }
    Value::Object(line)
}

fn copy(value: Option<&Value>, name: &str, line: &mut Map<String, Value>) {
    if let Some(value) = value.filter(|value| !value.is_null()) {
        line.insert(name.to_owned(), value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(device: &str, module: Option<&str>) -> Item {
        let mut line = json!({"id": device});
        if let Some(module) = module {
            line["moduleId"] = json!(module);
        }
        Item::parse(&line.to_string(), "create").unwrap()
    }

    fn names(batches: &[Vec<Value>]) -> Vec<Vec<String>> {
        let name = |item: &Value| match item["moduleId"].as_str() {
            Some(module) => format!("{}/{module}", item["id"].as_str().unwrap()),
            None => item["id"].as_str().unwrap().to_owned(),
        };
        batches.iter().map(|batch| batch.iter().map(name).collect()).collect()
    }

    #[test]
    fn a_line_says_its_mode_or_gets_one() {
        let mode = |line: &str| Item::parse(line, "create").unwrap().document["importMode"].clone();
        assert_eq!(mode(r#"{"id":"d"}"#), "create");
        assert_eq!(mode(r#"{"id":"d","importMode":null}"#), "create");
        assert_eq!(mode(r#"{"id":"d","importMode":"delete"}"#), "delete");
        for line in ["[]", "{}", r#"{"id":1}"#] {
            assert_eq!(Item::parse(line, "create"), Err(InvalidLine::Id), "{line}");
        }
        assert!(matches!(Item::parse("x", "create"), Err(InvalidLine::Json(_))));
    }

    #[test]
    fn modules_come_after_their_devices_and_nothing_comes_twice() {
        let mut batches = Batches::default();
        for (device, module) in
            [("a", None), ("a", Some("m")), ("b", None), ("b", Some("m")), ("b", Some("n"))]
        {
            batches.push(item(device, module));
        }
        assert!(batches.ready().is_empty());
        batches.push(item("a", None));
        let first = names(&batches.ready());
        assert_eq!(first, [vec!["a", "b"], vec!["a/m", "b/m", "b/n"]]);
        assert_eq!(names(&batches.finish()), [["a"]]);
    }

    #[test]
    fn a_batch_has_a_hundred_items_at_most() {
        let mut batches = Batches::default();
        for number in 0..250 {
            batches.push(item(&format!("d{number}"), None));
        }
        for number in 0..120 {
            batches.push(item("d", Some(&format!("m{number}"))));
        }
        let sizes: Vec<_> = batches.finish().iter().map(Vec::len).collect();
        assert_eq!(sizes, [100, 100, 50, 100, 20]);
    }

    #[test]
    fn results_add_up() {
        let mut tally = Tally::default();
        tally.add(3, &json!({"isSuccessful": true, "errors": [], "warnings": [{"deviceId": "w"}]}));
        let error = json!({"deviceId": "d", "moduleId": null, "errorCode": "DeviceNotFound"});
        tally.add(2, &json!({"isSuccessful": false, "errors": [error], "warnings": []}));
        assert_eq!((tally.done, tally.errors.len(), tally.warnings.len()), (4, 1, 1));
    }

    #[test]
    fn a_line_has_identity_and_twin() {
        let identity = json!({
            "deviceId": "d", "etag": "MQ==", "status": "enabled", "statusReason": null,
            "generationId": "1", "authentication": {"symmetricKey": {"primaryKey": "k"}},
            "capabilities": {"iotEdge": false},
        });
        let twin = Twin::new(json!({
            "etag": "AAAAAAAAAAE=", "properties": {"desired": {"a": 1}}, "version": 2,
        }));
        let expected = json!({
            "id": "d", "eTag": "MQ==", "status": "enabled",
            "authentication": {"symmetricKey": null},
            "twinETag": "AAAAAAAAAAE=", "properties": {"desired": {"a": 1}},
            "capabilities": {"iotEdge": false},
        });
        assert_eq!(exported(&identity, &twin.unwrap(), true), expected);
    }
}
