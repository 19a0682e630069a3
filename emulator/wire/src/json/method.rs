//! Direct methods: the body that calls one, and the answer.

use iothub_core::error::HubError;
use iothub_core::method::{MethodAnswer, MethodRequest, Payload, Timeouts};
use iothub_core::twin::Document;
use serde_json::Value;

use super::unexpected;

/// The body of a call.
///
/// # Errors
///
/// A member is missing, not what it should be, or out of its range.
pub fn parse_request(body: &Document) -> Result<MethodRequest, HubError> {
    let name = match body.get("methodName") {
        None | Some(Value::Null) => {
            return Err(HubError::ArgumentInvalid("methodName is missing".to_owned()));
        }
        Some(Value::String(name)) => name,
        Some(other) => return Err(unexpected("methodName", other, "a string")),
    };
    // Clients of the first version of the API say "timeout".
    let response = match seconds(body, "responseTimeoutInSeconds")? {
        None => seconds(body, "timeout")?,
        seconds => seconds,
    };
    let connect = seconds(body, "connectTimeoutInSeconds")?;
    let payload = body.get("payload").map(Payload::from).unwrap_or_default();
    MethodRequest::new(name, payload, Timeouts { response, connect })
}

fn seconds(body: &Document, name: &str) -> Result<Option<i64>, HubError> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_i64() {
            Some(seconds) => Ok(Some(seconds)),
            None if value.is_number() => {
                Err(HubError::ArgumentInvalid(format!("{name} is {value}, expected an integer")))
            }
            None => Err(unexpected(name, value, "an integer")),
        },
    }
}

/// The answer as the caller gets it.
pub fn answer(answer: &MethodAnswer) -> String {
    let MethodAnswer { status, payload } = answer;
    format!(r#"{{"status":{status},"payload":{}}}"#, payload.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(body: Value) -> Result<MethodRequest, HubError> {
        parse_request(body.as_object().unwrap())
    }

    fn request(payload: &Value, response: Option<i64>, connect: Option<i64>) -> MethodRequest {
        MethodRequest::new("m", payload.into(), Timeouts { response, connect }).unwrap()
    }

    #[test]
    fn every_client_s_body_is_understood() {
        let table = [
            (json!({"methodName": "m"}), request(&Value::Null, None, None)),
            (json!({"methodName": "m", "payload": ""}), request(&json!(""), None, None)),
            (
                json!({"methodName": "m", "payload": null, "responseTimeoutInSeconds": 30}),
                request(&Value::Null, Some(30), None),
            ),
            (
                json!({"methodName": "m", "payload": {"a": 1}, "timeout": 15}),
                request(&json!({"a": 1}), Some(15), None),
            ),
            (
                json!({"methodName": "m", "responseTimeoutInSeconds": 9, "timeout": 15,
                    "connectTimeoutInSeconds": 7}),
                request(&Value::Null, Some(9), Some(7)),
            ),
        ];
        for (body, expected) in table {
            assert_eq!(parse(body.clone()), Ok(expected), "{body}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let table = [
            (json!({}), "methodName is missing"),
            (json!({"methodName": 1}), "methodName is a number, expected a string"),
            (
                json!({"methodName": "m", "timeout": "15"}),
                "timeout is a string, expected an integer",
            ),
            (
                json!({"methodName": "m", "responseTimeoutInSeconds": 7.5}),
                "responseTimeoutInSeconds is 7.5, expected an integer",
            ),
            (
                json!({"methodName": "m", "connectTimeoutInSeconds": 301}),
                "connectTimeoutInSeconds must be within [0; 300].",
            ),
        ];
        for (body, expected) in table {
            let expected = HubError::ArgumentInvalid(expected.to_owned());
            assert_eq!(parse(body.clone()), Err(expected), "{body}");
        }
    }

    #[test]
    fn an_answer_has_the_documented_form() {
        let payload = Payload::from(&json!({"a": [1]}));
        let text = answer(&MethodAnswer { status: -1, payload });
        assert_eq!(text, r#"{"status":-1,"payload":{"a":[1]}}"#);
    }
}
