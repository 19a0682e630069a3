//! The graceful stop: connections end, listeners are gone, nothing hangs.

use std::net::TcpStream;

use iothub_tests::Hub;

#[test]
fn a_stop_closes_connections_and_listeners() {
    let hub = Hub::start();
    let device = hub.device("d1");
    let mut subscribed = hub.connect_twin(&device);
    let mut silent = hub.open();
    let mut over_tls = hub.open_tls();
    let addresses =
        [hub.emulator.mqtt_addr().unwrap(), hub.emulator.mqtts_addr(), hub.emulator.https_addr()];
    hub.stop();
    subscribed.expect_closed();
    silent.expect_closed();
    over_tls.expect_closed();
    for address in addresses {
        assert!(TcpStream::connect(address).is_err(), "{address} still listens");
    }
}

#[test]
fn two_hubs_do_not_know_each_other() {
    let (one, two) = (Hub::start(), Hub::start());
    one.device("d1");
    two.rest.get("/devices/d1").expect_error(404, "DeviceNotFound");
}
