//! What each built-in policy may do, over both protocols.

use iothub_core::auth::sas;
use iothub_tests::mqtt::{ACCEPTED, Connect, NOT_AUTHORIZED};
use iothub_tests::{FAR_FUTURE, Hub};
use iothub_wire::connection_string::encode;

/// Signs as a policy of the hub, with its secondary key: either key is good.
fn token(hub: &Hub, policy: &str) -> String {
    let policies = hub.emulator.hub();
    let policy = policies.policies().iter().find(|own| own.name == policy).unwrap();
    sas::sign(hub.host(), FAR_FUTURE, Some(&policy.name), &policy.secondary)
}

#[test]
fn each_policy_may_do_what_its_rights_say() {
    let mut hub = Hub::start();
    hub.device("d1");
    // policy; reads the registry, writes it, uses twins
    let table = [
        ("iothubowner", true, true, true),
        ("service", false, false, true),
        ("device", false, false, false),
        ("registryRead", true, false, false),
        ("registryReadWrite", true, true, false),
    ];
    let body = r#"{"deviceId":"d2"}"#;
    for (policy, reads, writes, connects) in table {
        hub.rest.authorization = Some(token(&hub, policy));
        let calls: [(&str, &str, Option<&str>, bool); 9] = [
            ("GET", "/devices/d1", None, reads),
            ("GET", "/devices", None, reads),
            ("GET", "/statistics/devices", None, reads),
            ("GET", "/statistics/service", None, reads),
            ("PUT", "/devices/d2", Some(body), writes),
            ("DELETE", "/devices/d2", None, writes),
            ("GET", "/twins/d1", None, connects),
            ("PATCH", "/twins/d1", Some("{}"), connects),
            ("PUT", "/twins/d1", Some("{}"), connects),
        ];
        for (method, path, body, allowed) in calls {
            let answer = hub.rest.send(method, path, &[], body);
            if allowed {
                assert!(matches!(answer.status, 200 | 204), "{policy} {method} {path}: {answer:?}");
            } else {
                assert_eq!(answer.status, 401, "{policy} {method} {path}: {answer:?}");
                answer.expect_error(401, "IotHubUnauthorized");
            }
        }
    }
}

#[test]
fn devices_connect_with_the_right_of_devices_only() {
    let hub = Hub::start();
    let device = hub.device("d1");
    for (policy, answer) in [
        ("iothubowner", ACCEPTED),
        ("device", ACCEPTED),
        ("service", NOT_AUTHORIZED),
        ("registryRead", NOT_AUTHORIZED),
        ("registryReadWrite", NOT_AUTHORIZED),
    ] {
        let connect = Connect::new("d1", &device.user_name(), &token(&hub, policy));
        println!("{policy}");
        hub.connect_as(&connect, answer);
    }
}

#[test]
fn a_token_for_one_device_opens_that_device() {
    let mut hub = Hub::start();
    let name = "a:b+%_#?d";
    hub.device(name);
    hub.device("other");
    let resource = encode(&format!("{}/devices/{name}", hub.host()));
    let owner = hub.owner.key.clone();
    hub.rest.authorization = Some(sas::sign(&resource, FAR_FUTURE, Some("iothubowner"), &owner));
    hub.rest.get(&format!("/devices/{}", encode(name))).expect(200);
    hub.rest.get("/devices/other").expect_error(401, "IotHubUnauthorizedAccess");
}
