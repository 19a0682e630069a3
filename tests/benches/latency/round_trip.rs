//! How long a device and a back end wait for an answer, and for each other.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use iothub_tests::mqtt::{Connection, PINGREQ, PINGRESP, publish};

use crate::mosquitto::Mosquitto;
use crate::samples::Samples;
use crate::server::Server;
use crate::table::Table;

const WARM_UP: usize = 200;
const RUNS: usize = 5000;
const CHANGES: usize = 1000;
/// What the tutorial's twin holds.
const DESIRED: &str = r#"{"telemetryConfig":{"configId":"1","sendFrequency":"24h"}}"#;

pub(crate) fn measure(table: &mut Table, server: &Server, mosquitto: Option<&Mosquitto>) {
    let device = server.device("round-trip");
    server.desire(&device, DESIRED);
    let mut connection = server.connect(&device);
    let (pings, twins) = in_turn(&mut connection);
    let broker_pings = mosquitto.map(|mosquitto| {
        let broker = mosquitto.start();
        let mut connection = broker.connect("round-trip");
        Samples::take(WARM_UP, || ping(&mut connection));
        Samples::take(RUNS, || ping(&mut connection))
    });
    let beside =
        broker_pings.as_ref().map(|brokers| pings.ratio(brokers, "mosquitto")).unwrap_or_default();
    table.row("PINGREQ over TLS", pings.tail(), "", beside);
    if let Some(brokers) = broker_pings {
        table.row("  mosquitto", brokers.tail(), "", "");
    }
    table.row("twin GET over TLS", twins.tail(), "", twins.ratio(&pings, "PINGREQ"));
    let (answers, notices) = changes(server, &mut connection);
    table.row("REST PATCH to its answer", answers.tail(), "", answers.ratio(&pings, "PINGREQ"));
    table.row("REST PATCH to the device", notices.tail(), "", notices.ratio(&pings, "PINGREQ"));
}

/// PINGREQ and twin GET in turn on one connection.
fn in_turn(connection: &mut Connection) -> (Samples, Samples) {
    let (mut pings, mut twins) = (Vec::new(), Vec::new());
    for run in 0..WARM_UP + RUNS {
        let times = (ping(connection), get_twin(connection));
        if run >= WARM_UP {
            pings.push(times.0);
            twins.push(times.1);
        }
    }
    (pings.into(), twins.into())
}

fn ping(connection: &mut Connection) -> Duration {
    let start = Instant::now();
    connection.send(PINGREQ);
    connection.expect(PINGRESP);
    start.elapsed()
}

fn get_twin(connection: &mut Connection) -> Duration {
    let start = Instant::now();
    connection.send(&publish("$iothub/twin/GET/?$rid=1", b""));
    let answer = connection.read();
    let time = start.elapsed();
    assert_eq!(answer.publish().topic, "$iothub/twin/res/200/?$rid=1");
    time
}

/// Times from sending a PATCH to its answer, and to the device's notification of it.
fn changes(server: &Server, connection: &mut Connection) -> (Samples, Samples) {
    let device = server.device("round-trip-changes");
    // A connection of its own, that its versions count from the beginning.
    *connection = server.connect(&device);
    let (arrived, arrivals) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..WARM_UP + CHANGES {
                connection.read();
                arrived.send(Instant::now()).unwrap();
            }
        });
        let (mut answers, mut notices) = (Vec::new(), Vec::new());
        for run in 0..WARM_UP + CHANGES {
            let desired = format!(r#"{{"telemetryConfig":{{"configId":"{run}"}}}}"#);
            let start = Instant::now();
            server.desire(&device, &desired);
            let answer = start.elapsed();
            let notice = arrivals.recv().unwrap().duration_since(start);
            if run >= WARM_UP {
                answers.push(answer);
                notices.push(notice);
            }
        }
        (answers.into(), notices.into())
    })
}
