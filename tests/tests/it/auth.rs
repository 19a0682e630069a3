//! Shared access signatures: who may connect and who may call, and in which spelling.

use iothub_core::auth::sas;
use iothub_tests::mqtt::{ACCEPTED, Connect, NOT_AUTHORIZED};
use iothub_tests::{Device, FAR_FUTURE, Hub, key, now};
use iothub_wire::connection_string::encode;

/// CONNECT of the device with this password.
fn with(device: &Device, password: String) -> Connect {
    Connect { password: Some(password), ..device.connect() }
}

#[test]
fn every_spelling_of_a_device_s_token_is_accepted() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let host = hub.host();
    let resources = [
        format!("{host}%2Fdevices%2Fd1"),
        format!("{host}%2fdevices%2fd1"),
        // C, Java and the first Python SDK do not encode
        format!("{host}/devices/d1"),
        format!("{}%2Fdevices%2Fd1", host.to_uppercase()),
        // deeper than the device
        format!("{host}%2Fdevices%2Fd1%2Fmessages%2Fevents"),
        format!("{host}/devices/d1/api-version=2016-11-14"),
    ];
    for resource in resources {
        for fill in [1, 2] {
            let token = sas::sign(&resource, FAR_FUTURE, None, &key(fill));
            hub.connect_as(&with(&device, token), ACCEPTED).expect_alive();
        }
    }
}

#[test]
fn fields_come_in_any_order() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let token = device.token();
    let fields: Vec<_> = token.strip_prefix("SharedAccessSignature ").unwrap().split('&').collect();
    let [sr, sig, se] = fields[..] else { panic!("{token}") };
    for text in [
        format!("{se}&{sig}&{sr}"),
        format!("{sig}&{se}&{sr}&skn="),
        format!("{sr}&{sig}&{se}&unknown=1"),
    ] {
        let token = format!("SharedAccessSignature {text}");
        hub.connect_as(&with(&device, token), ACCEPTED).expect_alive();
    }
}

#[test]
fn other_passwords_are_refused() {
    let hub = Hub::start();
    let device = hub.device("d1");
    hub.device("d12");
    let host = hub.host();
    let sign = |resource: &str, fill| sas::sign(resource, FAR_FUTURE, None, &key(fill));
    let encoded = sign(&format!("{host}%2Fdevices%2Fd1"), 1);
    let plain = sign(&format!("{host}/devices/d1"), 1);
    let signature =
        |token: &str| token.split("&sig=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let table = [
        ("a wrong key", sign(&format!("{host}%2Fdevices%2Fd1"), 9)),
        ("another device", sign(&format!("{host}%2Fdevices%2Fd12"), 1)),
        ("another case", sign(&format!("{host}%2Fdevices%2FD1"), 1)),
        ("a prefix that is no segment", sign(&format!("{host}%2Fdevices%2Fd"), 1)),
        ("the whole hub with a device's key", sign(host, 1)),
        (
            "the signature of another spelling",
            encoded.replace(&signature(&encoded), &signature(&plain)),
        ),
        ("rubbish", "rubbish".to_owned()),
        ("the key itself", key(1).as_base64().to_owned()),
        ("no signature", format!("SharedAccessSignature sr={host}%2Fdevices%2Fd1&se={FAR_FUTURE}")),
        ("no prefix", encoded.replace("SharedAccessSignature ", "")),
        ("an unknown policy", sas::sign(host, FAR_FUTURE, Some("nobody"), &key(1))),
        ("an expiry that is no number", encoded.replace(&format!("se={FAR_FUTURE}"), "se=soon")),
        (
            "another expiry",
            encoded.replace(&format!("se={FAR_FUTURE}"), &format!("se={}", FAR_FUTURE + 1)),
        ),
    ];
    for (what, password) in table {
        println!("{what}");
        hub.connect_as(&with(&device, password), NOT_AUTHORIZED).expect_closed();
    }
}

#[test]
fn a_token_is_good_for_five_minutes_longer() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let sign = |expiry| sas::sign(&encode(&device.resource()), expiry, None, &key(1));
    hub.connect_as(&with(&device, sign(now() - 240)), ACCEPTED).expect_alive();
    for late in [now() - 360, 1, 0] {
        hub.connect_as(&with(&device, sign(late)), NOT_AUTHORIZED).expect_closed();
    }
}

#[test]
fn a_policy_with_the_right_connects_for_any_device() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let host = hub.host();
    let resources = [host.to_owned(), format!("{host}%2Fdevices"), format!("{host}/devices/d1")];
    for resource in resources {
        let token = sas::sign(&resource, FAR_FUTURE, Some(&hub.owner.policy), &hub.owner.key);
        hub.connect_as(&with(&device, token), ACCEPTED).expect_alive();
    }
    let other = format!("{host}/devices/d2");
    let token = sas::sign(&other, FAR_FUTURE, Some(&hub.owner.policy), &hub.owner.key);
    hub.connect_as(&with(&device, token), NOT_AUTHORIZED).expect_closed();
    // the device has to exist all the same
    let missing = Device { id: "missing".to_owned(), host: host.to_owned() };
    let token = sas::sign(host, FAR_FUTURE, Some(&hub.owner.policy), &hub.owner.key);
    hub.connect_as(&with(&missing, token), NOT_AUTHORIZED).expect_closed();
}

#[test]
fn the_service_accepts_every_spelling_of_a_policy_s_token() {
    let mut hub = Hub::start();
    let host = hub.host().to_owned();
    let owner = hub.owner.clone();
    let sign =
        |resource: &str, expiry| sas::sign(resource, expiry, Some(&owner.policy), &owner.key);
    let good = sign(&host, FAR_FUTURE);
    let fields: Vec<_> = good.strip_prefix("SharedAccessSignature ").unwrap().split('&').collect();
    let [sr, sig, se, skn] = fields[..] else { panic!("{good}") };
    let tokens = [
        good.clone(),
        // Node's order
        format!("SharedAccessSignature {sr}&{sig}&{skn}&{se}"),
        format!("SharedAccessSignature {sig}&{se}&{skn}&{sr}"),
        sign(&host.to_uppercase(), FAR_FUTURE),
        sign(&format!("{host}%2fdevices"), FAR_FUTURE),
        sign(&host, now() - 240),
    ];
    for token in tokens {
        hub.rest.authorization = Some(token);
        hub.rest.get("/devices").expect(200);
    }
    // twins lie outside of /devices
    hub.rest.authorization = Some(sign(&format!("{host}%2Fdevices"), FAR_FUTURE));
    assert_eq!(hub.rest.get("/twins/d1").status, 401);
}

#[test]
fn the_service_refuses_everybody_else() {
    let mut hub = Hub::start();
    hub.device("d1");
    let host = hub.host().to_owned();
    let owner = hub.owner.clone();
    let device = Device { id: "d1".to_owned(), host: host.clone() };
    let tokens = [
        None,
        Some(String::new()),
        Some("Bearer x.y.z".to_owned()),
        Some("Basic dXNlcjpwYXNz".to_owned()),
        Some("SharedAccessSignature".to_owned()),
        Some(sas::sign(&host, FAR_FUTURE, Some(&owner.policy), &key(9))),
        Some(sas::sign(&host, FAR_FUTURE, Some("nobody"), &owner.key)),
        Some(sas::sign(&host, FAR_FUTURE, None, &owner.key)),
        Some(sas::sign(&host, now() - 360, Some(&owner.policy), &owner.key)),
        Some(device.token()),
    ];
    for token in tokens {
        hub.rest.authorization.clone_from(&token);
        for path in ["/devices/d1", "/twins/d1", "/statistics/devices", "/devices/missing"] {
            let answer = hub.rest.get(path);
            assert_eq!(answer.status, 401, "{token:?} {path}: {answer:?}");
            let name = answer.header("iothub-errorcode").unwrap().to_owned();
            assert!(name.starts_with("IotHubUnauthorized"), "{token:?} {path}: {name}");
            answer.expect_error(401, &name);
        }
    }
    hub.rest.authorization = None;
    let text = hub.rest.get("/devices/d1").expect_error(401, "IotHubUnauthorizedAccess");
    assert_eq!(text, "Unauthorized");
}
