//! Telemetry from 50 devices over MQTT with QoS 1, to one AMQP reader per partition: how many events
//! in a second from end to end, how long one takes, and the memory after a million of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use iothub_tests::Device;
use iothub_tests::mqtt::{Connection, publish_with};
use iothub_wire::connection_string::ServiceConnectionString;
use service_cli::events::Since;
use service_cli::{Amqp, Roots};

use crate::memory::{megabytes, settled};
use crate::samples::Samples;
use crate::server::Server;
use crate::table::Table;

const DEVICES: usize = 50;
const EVENTS: usize = 1_000_000;
const BODY: usize = 256;
/// How many messages of a device the hub may have yet to acknowledge, as with the SDKs for C.
const WINDOW: usize = 32;
/// How far the devices may be ahead of the reader, in events of each: what is older than the last
/// 100 MB is not kept for it.
const AHEAD: usize = 1000;
/// Events of each device when it is latency that is measured, and the pause between two.
const CALM_EVENTS: usize = 60;
const CALM_PAUSE: Duration = Duration::from_millis(50);

pub(crate) fn measure(table: &mut Table) {
    let server = Server::start();
    let devices: Vec<_> = (0..DEVICES).map(|number| server.device(&format!("e{number}"))).collect();
    let epoch = Instant::now();
    let seen = Arc::new(AtomicUsize::new(0));
    let arrivals = read(&server, epoch, Arc::clone(&seen));
    let connect = |device: &Device| server.connect(device);

    let mut connections: Vec<_> = devices.iter().map(connect).collect();
    calm(&devices, &mut connections, epoch);
    let samples = Samples::take(DEVICES * CALM_EVENTS, || arrivals.recv().unwrap());
    table.row("event, device to AMQP reader", samples.tail(), "", "");

    seen.store(0, Ordering::Relaxed);
    let started = Instant::now();
    thread::scope(|scope| {
        for (device, connection) in devices.iter().zip(&mut connections) {
            let seen = &seen;
            scope.spawn(move || flood(device, connection, epoch, seen));
        }
    });
    let taken = started.elapsed();
    for _ in 0..EVENTS {
        arrivals.recv().unwrap();
    }
    let read = started.elapsed();
    table.row("events taken over MQTT", per_second(taken), "", "");
    let ratio = format!("{:.2} × taken", taken.as_secs_f64() / read.as_secs_f64());
    table.row("events from end to end", per_second(read), "", ratio);
    if let Some(memory) = settled(server.emulator.local.pid) {
        table.row("memory after a million events", megabytes(memory), "", "");
    }
}

fn per_second(span: Duration) -> String {
    format!("{:.0} /s", EVENTS as f64 / span.as_secs_f64())
}

/// Reads all events in threads of its own; gives how long each took.
fn read(server: &Server, epoch: Instant, seen: Arc<AtomicUsize>) -> Receiver<Duration> {
    let (sender, arrivals) = channel();
    let (ready, wait) = channel();
    let local = server.emulator.local.clone();
    thread::spawn(move || {
        let hub = ServiceConnectionString::parse(&local.connection_string).unwrap();
        let roots = Roots::none().and_pem_file(&local.ca_file).unwrap();
        let amqp = Amqp::new(hub, local.amqp_port, &roots).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut monitor = amqp.monitor("$Default", Since::Start).await.unwrap();
            ready.send(()).unwrap();
            // It ends with the emulator.
            while let Ok(event) = monitor.next().await {
                let text = std::str::from_utf8(&event.body).unwrap().trim_end();
                seen.fetch_add(1, Ordering::Relaxed);
                let sent = Duration::from_micros(text.parse().unwrap());
                if sender.send(epoch.elapsed().saturating_sub(sent)).is_err() {
                    return;
                }
            }
        });
    });
    wait.recv().unwrap();
    arrivals
}

fn calm(devices: &[Device], connections: &mut [Connection], epoch: Instant) {
    for _ in 0..CALM_EVENTS {
        for (device, connection) in devices.iter().zip(connections.iter_mut()) {
            connection.send(&event(device, 1, epoch));
            connection.read();
        }
        thread::sleep(CALM_PAUSE);
    }
}

fn flood(device: &Device, connection: &mut Connection, epoch: Instant, seen: &AtomicUsize) {
    let mut waiting = 0;
    for number in 0..EVENTS / DEVICES {
        while number > seen.load(Ordering::Relaxed) / DEVICES + AHEAD {
            thread::sleep(Duration::from_millis(1));
        }
        connection.send(&event(device, (number % 60_000) as u16 + 1, epoch));
        waiting += 1;
        if waiting == WINDOW {
            connection.read();
            waiting -= 1;
        }
    }
    for _ in 0..waiting {
        connection.read();
    }
}

fn event(device: &Device, packet: u16, epoch: Instant) -> Vec<u8> {
    let body = format!("{:<BODY$}", epoch.elapsed().as_micros());
    let topic = format!("devices/{}/messages/events/", device.id);
    publish_with(0x32, packet, &topic, body.as_bytes())
}
