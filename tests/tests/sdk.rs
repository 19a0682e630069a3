//! Microsoft's own SDKs, unmodified, against the emulator as a program: one script per subject.
//!
//! Each test starts an emulator of its own on an address of its own with the ports that SDKs
//! hard-code (443, 5671 and 8883), and gives the script nothing but the variables that
//! `iothub-emulator env` prints.

use iothub_tests::sdk::Language::{Node, Python};
use iothub_tests::sdk::{run, run_with_back_end, run_with_file};

#[test]
fn python_tutorial() {
    run(Python, "tutorial.py");
}

#[test]
fn python_tutorial_with_asyncio() {
    run(Python, "tutorial_aio.py");
}

#[test]
fn python_example() {
    run(Python, "example.py");
}

#[test]
fn python_pytest_plugin() {
    run(Python, "pytest_plugin.py");
}

#[test]
fn python_registry() {
    run(Python, "registry.py");
}

#[test]
fn python_twin() {
    run(Python, "twin.py");
}

#[test]
fn python_digital_twins() {
    run(Python, "digital_twins.py");
}

#[test]
fn python_methods() {
    run(Python, "methods.py");
}

#[test]
fn python_connection() {
    run(Python, "connection.py");
}

#[test]
fn python_devicebound() {
    run_with_back_end(Python, "devicebound.py");
}

#[test]
fn python_configurations() {
    run(Python, "configurations.py");
}

#[test]
fn python_jobs() {
    run(Python, "jobs.py");
}

#[test]
fn node_configurations() {
    run(Node, "configurations.js");
}

#[test]
fn node_jobs() {
    run(Node, "jobs.js");
}

#[test]
fn python_websocket() {
    run(Python, "mqtt_websocket.py");
}

#[test]
fn python_x509() {
    run(Python, "x509.py");
}

#[test]
fn node_client() {
    run(Node, "node_client.js");
}

#[test]
fn node_tutorial() {
    run(Node, "tutorial.js");
}

#[test]
fn node_registry() {
    run(Node, "registry.js");
}

#[test]
fn node_twin() {
    run(Node, "twin.js");
}

#[test]
fn node_methods() {
    run(Node, "methods.js");
}

#[test]
fn node_connection() {
    run(Node, "connection.js");
}

#[test]
fn python_modules() {
    run(Python, "modules.py");
}

#[test]
fn python_bulk() {
    run(Python, "bulk.py");
}

#[test]
fn node_modules() {
    run(Node, "modules.js");
}

#[test]
fn node_bulk() {
    run(Node, "bulk.js");
}

#[test]
fn node_devicebound() {
    run_with_back_end(Node, "devicebound.js");
}

#[test]
fn node_http() {
    run_with_back_end(Node, "http.js");
}

#[test]
fn python_query() {
    run(Python, "query.py");
}

#[test]
fn node_query() {
    run(Node, "query.js");
}

#[test]
fn node_websocket() {
    run(Node, "websocket.js");
}

#[test]
fn node_x509() {
    run(Node, "x509.js");
}

#[test]
fn python_events() {
    run(Python, "events.py");
}

#[test]
fn python_service_messaging() {
    run(Python, "service_messaging.py");
}

#[test]
fn node_events() {
    run(Node, "events.js");
}

#[test]
fn node_service_messaging() {
    run(Node, "service_messaging.js");
}

#[test]
fn node_amqp_device() {
    run(Node, "amqp_device.js");
}

#[test]
fn node_amqp_module() {
    run(Node, "amqp_module.js");
}

#[test]
fn node_sasl_plain() {
    run(Node, "sasl_plain.js");
}

#[test]
fn node_transports() {
    run(Node, "transports.js");
}

#[test]
fn python_routing() {
    run_with_file(Python, "routing.py", "routing.toml");
}

#[test]
fn python_fault_messages() {
    run_with_file(Python, "fault_messages.py", "fault_messages.toml");
}

#[test]
fn node_fault_messages() {
    run_with_file(Node, "fault_messages.js", "fault_messages.toml");
}
