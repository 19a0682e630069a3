use iothub_core::event::EventSource;
use iothub_core::route::properties::*;

use super::*;

/// What the three sources hold in one case.
#[derive(Default)]
struct Case<'a> {
    flags: &'a [(&'static str, &'a [&'a str])],
    variables: &'a [(&'a str, &'a str)],
    file: Option<&'a str>,
}

impl Case<'_> {
    fn resolve(&self) -> Result<Config, Vec<String>> {
        let flags = self.flags.iter().fold(Flags::default(), |flags, (name, values)| {
            flags.with(name, values.iter().map(|value| (*value).to_owned()))
        });
        let flags = match self.file {
            Some(_) => flags.with("config", ["e.toml".to_owned()]),
            None => flags,
        };
        let variable = |name: &str| {
            let all = [("HOME", "/home/u")];
            let found = self.variables.iter().chain(&all).find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let read_file = |_: &std::path::Path| {
            self.file.map(str::to_owned).ok_or_else(|| std::io::Error::other("no such file"))
        };
        let sources = Sources { flags: &flags, variable: &variable, read_file: &read_file };
        Config::resolve(&sources)
            .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn name(text: &str) -> HostName {
    HostName::parse(text).unwrap()
}

#[test]
fn without_sources_everything_has_its_default() {
    let state_dir = Some(PathBuf::from("/home/u/.local/state/iothub-emulator"));
    assert_eq!(Case::default().resolve(), Ok(Config { state_dir, ..Config::default() }));
}

#[test]
fn a_flag_beats_a_variable_and_a_variable_beats_the_file() {
    let file = Some("mqtts-port = 3\nadmin-port = 3\nhub-name = \"from-file\"");
    let variables =
        &[("IOTHUB_EMULATOR_MQTTS_PORT", "2"), ("IOTHUB_EMULATOR_ADMIN_PORT", "2")] as &[_];
    let flags = &[("mqtts-port", &["1"] as &[_])] as &[_];
    let config = Case { flags, variables, file }.resolve().unwrap();
    assert_eq!((config.mqtts_port, config.admin_port), (1, 2));
    assert_eq!(config.hub_name, "from-file");
}

#[test]
fn every_option_can_stand_in_the_file() {
    let file = r#"
        bind = "0.0.0.0"
        mqtts-port = 1
        https-port = 2
        mqtt-port = 3
        amqps-port = 5
        amqp-port = 6
        admin-bind = "::"
        admin-port = 4
        admin-token = "0123456789abcdef"
        hostname = ["hub.test", "::1"]
        device-ca = ["a.pem", "b.pem"]
        event-partitions = 8
        event-retention-days = 7
        consumer-group = ["a", "b"]
        strict-hosts = true
        state-dir = "/s"
        storage-dir = "/b"
        seed = "s.toml"
        key-algorithm = "rsa"
        keys = "random"
        hub-name = "hub-1"
        quiet = true
        log-format = "json"
        shutdown-grace = "250ms"
        max-connections = 7
        tier = "s2"
        units = 3
        enforce-throttles = true
        fault-messages = true
    "#;
    let expected = Config {
        bind: address("0.0.0.0"),
        mqtts_port: 1,
        https_port: Some(2),
        mqtt_port: Some(3),
        amqps_port: 5,
        amqp_port: Some(6),
        admin_bind: address("::"),
        admin_port: 4,
        admin_token: Some(AdminToken::new("0123456789abcdef")),
        hostname: name("hub.test"),
        aliases: vec![name("::1")],
        device_authorities: vec!["a.pem".into(), "b.pem".into()],
        event_partitions: 8,
        event_retention: Duration::from_secs(7 * 24 * 60 * 60),
        routing: RoutingProperties::default(),
        consumer_groups: vec!["a".to_owned(), "b".to_owned()],
        strict_hosts: true,
        state_dir: Some("/s".into()),
        storage_dir: Some("/b".into()),
        seed: Some("s.toml".into()),
        key_algorithm: Some(KeyAlgorithm::Rsa),
        keys: HubKeys::Random,
        hub_name: "hub-1".to_owned(),
        quiet: true,
        log_format: LogFormat::Json,
        shutdown_grace: Duration::from_millis(250),
        max_connections: 7,
        tier: Tier::S2,
        units: 3,
        enforce_throttles: true,
        fault_messages: true,
    };
    assert_eq!(Case { file: Some(file), ..Case::default() }.resolve(), Ok(expected));
    let keys: toml::Table = file.parse().unwrap();
    assert_eq!(keys.len() + 1, OPTIONS.len(), "the table above has every option but config");
}

#[test]
fn the_host_name_follows_the_address() {
    let table = [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.7", "127.0.0.7"),
        ("192.0.2.1", "192.0.2.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "127.0.0.1"),
        ("::1", "localhost"),
    ];
    for (bind, expected) in table {
        let config = Case { flags: &[("bind", &[bind])], ..Case::default() }.resolve().unwrap();
        assert_eq!(config.hostname, name(expected), "{bind}");
    }
}

#[test]
fn host_names_come_one_by_one_or_with_commas() {
    let expected = [name("a.test"), name("b.test"), name("127.0.0.2")];
    let by_flag =
        Case { flags: &[("hostname", &["a.test,b.test", "127.0.0.2"])], ..Case::default() };
    let by_variable = Case {
        variables: &[("IOTHUB_EMULATOR_HOSTNAME", "a.test, b.test,127.0.0.2")],
        ..Case::default()
    };
    for case in [by_flag, by_variable] {
        let config = case.resolve().unwrap();
        assert!(config.hostnames().eq(&expected), "{config:?}");
    }
}

#[test]
fn the_plain_port_can_be_taken_back() {
    let file = Some("mqtt-port = 1883");
    let flags = &[("mqtt-port", &["off"] as &[_])] as &[_];
    assert_eq!(Case { file, ..Case::default() }.resolve().unwrap().mqtt_port, Some(1883));
    assert_eq!(Case { flags, file, ..Case::default() }.resolve().unwrap().mqtt_port, None);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let case = Case {
        flags: &[("bind", &["localhost"]), ("shutdown-grace", &["5"]), ("state-dir", &["/s"])],
        variables: &[
            ("IOTHUB_EMULATOR_MQTTS_PORT", "70000"),
            ("IOTHUB_EMULATOR_HOSTNAME", "ok.test,not ok"),
            ("IOTHUB_EMULATOR_LOG_FORMAT", ""),
        ],
        file: Some("keys = \"mine\"\nmqtts_port = 1\nquiet = { very = true }\nmax-connections = 0"),
    };
    let expected = [
        "e.toml: there is no field \"mqtts_port\"; --help lists them",
        "e.toml: quiet is a table, expected a text, a number, true or false",
        "--bind is \"localhost\", expected an IP address",
        "IOTHUB_EMULATOR_HOSTNAME is \"not ok\", expected a host name or an IP address, without a port",
        "IOTHUB_EMULATOR_MQTTS_PORT is \"70000\", expected a number from 0 to 65535",
        "e.toml: keys is \"mine\", expected well-known or random",
        "--shutdown-grace is \"5\", expected a number and its unit, such as 5s or 500ms",
        "e.toml: max-connections is \"0\", expected a number from 1",
    ];
    assert_eq!(case.resolve().unwrap_err(), expected);
}

#[test]
fn a_bad_file_does_not_hide_other_mistakes() {
    let flags = &[("keys", &["mine"] as &[_])] as &[_];
    let mistakes = Case { flags, file: Some("quiet = true\nbind ="), ..Case::default() };
    let mistakes = mistakes.resolve().unwrap_err();
    assert!(mistakes[0].starts_with("e.toml is no TOML: line 2: "), "{mistakes:?}");
    assert_eq!(mistakes[1], "--keys is \"mine\", expected well-known or random");

    let variables = &[("IOTHUB_EMULATOR_CONFIG", "/gone.toml")] as &[_];
    let mistakes = Case { variables, ..Case::default() }.resolve().unwrap_err();
    assert_eq!(mistakes, ["/gone.toml cannot be read: no such file"]);
}

#[test]
fn two_listeners_need_two_ports() {
    type Flag<'a> = (&'static str, &'a [&'a str]);
    let table: [(&[Flag<'_>], &[&str]); 6] = [
        (
            &[("mqtts-port", &["443"])],
            &["mqtts-port and https-port are both 443, expected different ports"],
        ),
        (
            &[("admin-port", &["8883"])],
            &["mqtts-port and admin-port are both 8883, expected different ports"],
        ),
        (
            &[("admin-port", &["8883"]), ("admin-bind", &["0.0.0.0"])],
            &["mqtts-port and admin-port are both 8883, expected different ports"],
        ),
        (&[("admin-port", &["8883"]), ("admin-bind", &["127.0.0.2"])], &[]),
        (&[("admin-port", &["0"]), ("mqtts-port", &["0"]), ("https-port", &["0"])], &[]),
        (
            &[("admin-port", &["x"]), ("mqtts-port", &["x"])],
            &[
                "--mqtts-port is \"x\", expected a number from 0 to 65535",
                "--admin-port is \"x\", expected a number from 0 to 65535",
            ],
        ),
    ];
    for (flags, expected) in table {
        let mistakes = Case { flags, ..Case::default() }.resolve().err().unwrap_or_default();
        assert_eq!(mistakes, expected, "{flags:?}");
    }
}

#[test]
fn a_connection_string_cannot_hold_an_ipv6_address() {
    let mistakes = Case { flags: &[("bind", &["2001:db8::1"])], ..Case::default() }.resolve();
    assert_eq!(
        mistakes.unwrap_err(),
        [
            "hostname is 2001:db8::1, expected a name or an IPv4 address first: SDKs cut a host name at its first colon"
        ]
    );
}

#[test]
fn the_file_says_where_events_go() {
    let file = r#"
        [[endpoint]]
        name = "alerts"
        type = "event-hub"
        partitions = 2
        consumer-groups = ["team"]

        [[endpoint]]
        name = "archive"
        type = "folder"
        path = "/archive"

        [[endpoint]]
        name = "web"
        type = "webhook"
        url = "http://127.0.0.1:9/events"

        [[route]]
        name = "alerts"
        condition = "alert = 'yes'"
        endpoints = ["alerts", "web"]

        [[route]]
        name = "twins"
        source = "twinchangeevents"
        endpoints = ["archive"]
        enabled = false

        [fallback-route]
        enabled = false

        [[enrichment]]
        key = "floor"
        value = "$twin.tags.floor"
        endpoints = ["events"]
    "#;
    let endpoint = |name: &str, kind| EndpointProperties { name: name.to_owned(), kind };
    let hub = EndpointKind::EventHub { partitions: 2, consumer_groups: vec!["team".to_owned()] };
    let expected = RoutingProperties {
        endpoints: vec![
            endpoint("alerts", hub),
            endpoint("archive", EndpointKind::Folder("/archive".into())),
            endpoint("web", EndpointKind::Webhook("http://127.0.0.1:9/events".to_owned())),
        ],
        routes: vec![
            RouteProperties {
                condition: "alert = 'yes'".to_owned(),
                endpoint_names: vec!["alerts".to_owned(), "web".to_owned()],
                ..RouteProperties::new("alerts", "alerts")
            },
            RouteProperties {
                source: EventSource::TwinChange,
                is_enabled: false,
                ..RouteProperties::new("twins", "archive")
            },
        ],
        fallback_route: FallbackRouteProperties {
            is_enabled: false,
            ..FallbackRouteProperties::default()
        },
        enrichments: vec![EnrichmentProperties {
            key: "floor".to_owned(),
            value: "$twin.tags.floor".to_owned(),
            endpoint_names: vec!["events".to_owned()],
        }],
    };
    let config = Case { file: Some(file), ..Case::default() }.resolve().unwrap();
    assert_eq!(config.routing, expected);
}

#[test]
fn all_mistakes_of_where_events_go_are_told_at_once() {
    let file = r#"
        [[endpoint]]
        name = "a"
        type = "queue"

        [[endpoint]]
        name = "b"
        type = "folder"
        url = "http://x"

        [[endpoint]]
        name = "c"
        type = "webhook"
        url = "ftp://x"

        [[route]]
        source = "Telemetry"
        name = "r"
        endpoints = ["events"]

        [[route]]
        name = "s"
        endpoint = "events"

        [[route]]
        name = "t"
        endpoints = ["nowhere"]
        condition = "x >"
    "#;
    let mistakes = Case { file: Some(file), ..Case::default() }.resolve().unwrap_err();
    let expected = [
        "endpoint a: type is \"queue\", expected one of event-hub, folder, webhook",
        "endpoint b: an endpoint of type folder has no url, and path is missing",
        "route r: source is \"Telemetry\", expected one of DeviceMessages",
        "route s: there is no field \"endpoint\", expected name, source, condition, endpoints or enabled",
        "endpoint \"c\" has the url \"ftp://x\", expected http://… or https://…",
        "route \"t\" has a condition that cannot be read",
        "route \"t\" names the endpoint \"nowhere\", expected one of events, c",
    ];
    assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
    for (mistake, expected) in mistakes.iter().zip(expected) {
        assert!(mistake.starts_with(expected), "{mistake:?}, expected {expected:?}");
    }
}
