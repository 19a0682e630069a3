//! What the start tells: what a user needs next, and nothing else.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use crate::config::{FALLBACK_HTTPS_PORT, HTTPS_PORT};

/// The facts of a start.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Where MQTT over TLS is served.
    pub mqtts: SocketAddr,
    /// Where MQTT without TLS is served, if it is.
    pub mqtt: Option<SocketAddr>,
    /// Where AMQP over TLS is served.
    pub amqps: SocketAddr,
    /// Where AMQP without TLS is served, if it is.
    pub amqp: Option<SocketAddr>,
    /// Where HTTPS is served.
    pub https: SocketAddr,
    /// Whether HTTPS is there because its own port may not be bound.
    pub https_fell_back: bool,
    /// Where the harness API is served.
    pub admin: SocketAddr,
    /// Lets a back end in.
    pub connection_string: &'a str,
    /// The certificate to trust; none where it is in memory only.
    pub ca_file: Option<&'a Path>,
}

/// The text, with a line end after each line. `env_command` is how another terminal asks for the
/// variables; it differs where the state directory is not the usual one.
pub fn text(facts: &Facts<'_>, env_command: &str) -> String {
    let mut lines = Vec::new();
    lines.push(("MQTT", format!("mqtts://{}", facts.mqtts)));
    if let Some(mqtt) = facts.mqtt {
        lines.push(("", format!("mqtt://{mqtt} (no TLS)")));
    }
    lines.push(("AMQP", format!("amqps://{}", facts.amqps)));
    if let Some(amqp) = facts.amqp {
        lines.push(("", format!("amqp://{amqp} (no TLS)")));
    }
    lines.push(("HTTPS", format!("https://{}", facts.https)));
    lines.push(("Harness", format!("http://{}", facts.admin)));
    lines.push(("Hub", facts.connection_string.to_owned()));
    if let Some(ca_file) = facts.ca_file {
        lines.push(("Trust", ca_file.display().to_string()));
    }

    let mut text = "IoT Hub emulator is ready.\n\n".to_owned();
    for (label, value) in lines {
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {label:<8} {value}");
    }
    if facts.https_fell_back {
        text.push_str(&fallback_notice());
    }
    let _ = write!(
        text,
        r#"
In another terminal:

  eval "$({env_command})"
  service-cli device create my-device
  device-sim run --connection-string "$(service-cli device connection-string my-device)"
"#
    );
    text
}

fn fallback_notice() -> String {
    let remedy = if cfg!(target_os = "linux") {
        format!("`sudo sysctl net.ipv4.ip_unprivileged_port_start={HTTPS_PORT}`")
    } else {
        "run it as an administrator".to_owned()
    };
    format!(
        "\nPort {HTTPS_PORT} may not be bound, so HTTPS is on {FALLBACK_HTTPS_PORT}, where SDKs do \
         not look for it; to change that: {remedy}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts<'static> {
        Facts {
            mqtts: ([127, 0, 0, 1], 8883).into(),
            mqtt: None,
            amqps: ([127, 0, 0, 1], 5671).into(),
            amqp: None,
            https: ([127, 0, 0, 1], 443).into(),
            https_fell_back: false,
            admin: ([127, 0, 0, 1], 8088).into(),
            connection_string: "HostName=127.0.0.1;…",
            ca_file: Some(Path::new("/state/ca.pem")),
        }
    }

    #[test]
    fn a_start_tells_what_is_needed_next() {
        let expected = r#"IoT Hub emulator is ready.

  MQTT     mqtts://127.0.0.1:8883
  AMQP     amqps://127.0.0.1:5671
  HTTPS    https://127.0.0.1:443
  Harness  http://127.0.0.1:8088
  Hub      HostName=127.0.0.1;…
  Trust    /state/ca.pem

In another terminal:

  eval "$(iothub-emulator env)"
  service-cli device create my-device
  device-sim run --connection-string "$(service-cli device connection-string my-device)"
"#;
        assert_eq!(text(&facts(), "iothub-emulator env"), expected);
    }

    #[test]
    fn a_plain_listener_is_told_and_a_certificate_in_memory_is_not() {
        let plain = Some(([127, 0, 0, 1], 1883).into());
        let text = text(&Facts { mqtt: plain, ca_file: None, ..facts() }, "iothub-emulator env");
        assert!(text.contains("           mqtt://127.0.0.1:1883 (no TLS)\n"), "{text}");
        assert!(!text.contains("Trust"), "{text}");
    }

    #[test]
    fn a_port_that_may_not_be_bound_is_told_in_one_line_with_the_remedy() {
        let https = ([127, 0, 0, 1], 8443).into();
        let text = text(&Facts { https, https_fell_back: true, ..facts() }, "iothub-emulator env");
        let notice = text.lines().find(|line| line.starts_with("Port 443")).unwrap();
        assert!(notice.contains("HTTPS is on 8443"), "{notice}");
        if cfg!(target_os = "linux") {
            assert!(notice.ends_with("`sudo sysctl net.ipv4.ip_unprivileged_port_start=443`"));
        }
    }
}
