use super::*;

fn request(timeouts: Timeouts) -> Result<MethodRequest, HubError> {
    MethodRequest::new("m", Payload::default(), timeouts)
}

fn parse(text: &str) -> Result<Payload, String> {
    Payload::parse(&Bytes::copy_from_slice(text.as_bytes()))
}

#[test]
fn names_are_tokens() {
    for name in ["m", "getMaxMinReport", "thermostat1*getMaxMinReport", "a.b-c_d~e|f", "a+b#%"] {
        assert_eq!(MethodName::parse(name).unwrap().as_str(), name);
    }
    let longest = "m".repeat(limits::METHOD_NAME_CHARACTERS);
    assert!(MethodName::parse(&longest).is_ok());
    for name in ["", "a b", "a/b", "a\tb", "$m", "m(1)", "m:n", "m?", "{m}", "é", &(longest + "m")]
    {
        assert!(MethodName::parse(name).is_err(), "{name}");
    }
}

#[test]
fn times_keep_within_their_ranges() {
    let table = [
        (None, None, Ok((30, 0))),
        (Some(5), Some(0), Ok((5, 0))),
        (Some(300), Some(300), Ok((300, 300))),
        (Some(4), None, Err("responseTimeoutInSeconds must be within [5; 300].")),
        (Some(301), None, Err("responseTimeoutInSeconds must be within [5; 300].")),
        (None, Some(-1), Err("connectTimeoutInSeconds must be within [0; 300].")),
        (None, Some(301), Err("connectTimeoutInSeconds must be within [0; 300].")),
    ];
    for (response, connect, expected) in table {
        let times = request(Timeouts { response, connect })
            .map(|request| (request.response_time.as_secs(), request.connect_time.as_secs()));
        let expected = expected.map_err(|why| HubError::ArgumentInvalid(why.to_owned()));
        assert_eq!(times, expected, "{response:?} {connect:?}");
    }
}

#[test]
fn payloads_are_json_and_stay_as_they_are() {
    let table = [
        ("", Some("null")),
        ("null", Some("null")),
        (r#""""#, Some(r#""""#)),
        (
            r#"{"b": 1.0, "a": 12345678901234567890123}"#,
            Some(r#"{"b": 1.0, "a": 12345678901234567890123}"#),
        ),
        (" 1 ", Some("1")),
        ("{", None),
        ("yes", None),
        ("1 2", None),
    ];
    for (text, expected) in table {
        assert_eq!(parse(text).ok().as_ref().map(Payload::as_str), expected, "{text}");
    }
    assert!(Payload::parse(&Bytes::from_static(b"\"\xff\"")).is_err());
}

#[test]
fn the_depth_of_a_payload_costs_no_stack() {
    let deep = "[".repeat(60_000) + &"]".repeat(60_000);
    assert!(parse(&deep).is_ok());
}

#[test]
fn payloads_are_bounded_both_ways() {
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    let largest = text(limits::METHOD_PAYLOAD_BYTES);
    let larger = text(limits::METHOD_PAYLOAD_BYTES + 1);
    let bytes = larger.len();
    let asked = |text| MethodRequest::new("m", parse(text).unwrap(), Timeouts::default());
    assert!(asked(&largest).is_ok());
    assert_eq!(asked(&larger), Err(HubError::MethodPayloadTooLarge { bytes }));
    let answered = |text: &str| MethodAnswer::parse(200, &Bytes::copy_from_slice(text.as_bytes()));
    assert!(answered(&largest).is_ok());
    assert!(matches!(answered(&larger), Err(HubError::BadDeviceResponse(_))));
}

#[test]
fn call_ids_are_compared_as_they_are_written() {
    assert_eq!(CallId::parse("17"), Some(CallId(17)));
    for text in ["", "017", "+1", "-1", "x", "4294967296"] {
        assert_eq!(CallId::parse(text), None, "{text}");
    }
}
