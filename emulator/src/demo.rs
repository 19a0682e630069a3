//! `demo`: the tutorial in one process. A hub on free ports, a simulated device and a back end, each
//! speaking to the hub over its sockets as they would anywhere.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use device_sim::{Device, Event, Identity, Security, SystemClock};
use iothub_core::ids::{DeviceId, Precondition};
use iothub_emulator::Emulator;
use iothub_emulator::config::Config;
use iothub_wire::connection_string::{
    DeviceConnectionString, InvalidConnectionString, ServiceConnectionString,
};
use serde_json::{Value, json};
use service_cli::{Change, Client, Outcome, Twin, configure, diff};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use crate::output::{fail, print};

/// The device of the story.
const DEVICE: &str = "thermostat-1";
/// What the back end asks for.
const SEND_FREQUENCY: &str = "5m";
/// How long the device takes to apply a configuration: long enough to be seen as pending.
const APPLY_DELAY: Duration = Duration::from_millis(300);
/// How long any part of the story may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// More than the events of the whole story.
const EVENTS: usize = 256;
const STEP: Style = Style::new().bold();
const FACT: Style = AnsiColor::Cyan.on_default();

/// Why the story did not come to its end.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error(transparent)]
    Start(#[from] iothub_emulator::StartError),
    #[error(transparent)]
    Service(#[from] service_cli::Error),
    #[error(transparent)]
    ServiceRoots(#[from] service_cli::roots::InvalidRoots),
    #[error(transparent)]
    Device(#[from] device_sim::Error),
    #[error("the certificate {0}")]
    DeviceRoots(#[from] device_sim::InvalidRoots),
    #[error(transparent)]
    ConnectionString(#[from] InvalidConnectionString),
    #[error("the registry's answer has no key: {0}")]
    NoKey(Value),
    #[error("the device stopped before it had {0}")]
    DeviceStopped(&'static str),
    #[error("the device had not {0} after {PATIENCE:?}")]
    TooSlow(&'static str),
    #[error("a task ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
    #[error("standard output cannot be written: {0}")]
    Output(#[from] std::io::Error),
    #[error("{DEVICE} is no device id: {0}")]
    Id(#[from] iothub_core::ids::InvalidId),
}

/// Tells the story; succeeds only if desired and reported agree at its end.
pub(crate) fn demo() -> ExitCode {
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(format_args!("the runtime cannot start: {error}")),
    };
    match runtime.block_on(tell_story()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => fail("desired and reported do not agree"),
        Err(error) => fail(error),
    }
}

async fn tell_story() -> Result<bool, DemoError> {
    let device_id = DeviceId::parse(DEVICE)?;
    step("A hub starts on this machine, with a certificate authority of its own.")?;
    let hub = start_hub().await?;
    let addresses = hub.addresses();
    fact(&format!(
        "devices speak MQTT to {}, back ends HTTPS to {}",
        addresses.mqtts, addresses.https
    ))?;

    step(&format!("The back end registers the device {DEVICE:?}."))?;
    let client = back_end(&hub)?;
    let identity = register(&client, &device_id, &hub).await?;

    step("The device connects over TLS and reports its configuration.")?;
    let mut device = RunningDevice::start(identity, &hub)?;
    device.follow_until("reported its configuration", is_first_report).await?;

    step("The twin, as the back end sees it:")?;
    let before =
        blocking(&client, &device_id, |client, id| client.get_twin(&id.clone().into())).await?;
    document(&before)?;

    step(&format!(
        "The back end desires the next configuration, sendFrequency {SEND_FREQUENCY:?}."
    ))?;
    let asking = blocking_task(&client, &device_id, |client, id| {
        let change = Change { config_id: None, send_frequency: SEND_FREQUENCY.to_owned() };
        configure(client, id, &change, PATIENCE, |_| {})
    });
    device.follow_until("applied it", is_success).await?;
    let outcome = asking.await??;

    step("The twin afterwards, compared:")?;
    print(&format!("{}", diff::between(&outcome.before, &outcome.after).coloured()))?;
    device.stop().await?;
    hub.stop().await;
    tell_end(&outcome)?;
    Ok(outcome.agreed && service_cli::configure::agrees(&outcome.after))
}

async fn start_hub() -> Result<Emulator, DemoError> {
    let free_ports = Config {
        mqtts_port: 0,
        amqps_port: 0,
        https_port: Some(0),
        admin_port: 0,
        ..Config::default()
    };
    Ok(Emulator::start(&free_ports).await?)
}

fn back_end(hub: &Emulator) -> Result<Client, DemoError> {
    let connection_string = ServiceConnectionString::parse(hub.connection_string())?;
    let pem = hub.certificates().authority().pem();
    let roots = service_cli::Roots::none().and_pem(pem.as_bytes())?;
    Ok(Client::new(connection_string, service_cli::Options::new(roots)))
}

async fn register(
    client: &Client,
    id: &DeviceId,
    hub: &Emulator,
) -> Result<DeviceConnectionString, DemoError> {
    let created = blocking(client, id, |client, id| {
        client.put_device(id, &json!({ "deviceId": id.as_str() }), &Precondition::None)
    })
    .await?;
    let key = created.pointer("/authentication/symmetricKey/primaryKey").and_then(Value::as_str);
    let Some(key) = key else { return Err(DemoError::NoKey(created)) };
    let host = format!("{}:{}", client.host().name, hub.addresses().mqtts.port());
    let text = format!("HostName={host};DeviceId={id};SharedAccessKey={key}");
    Ok(DeviceConnectionString::parse(&text)?)
}

/// The back end's calls block, so each has a thread for as long as it takes.
fn blocking_task<T: Send + 'static>(
    client: &Client,
    id: &DeviceId,
    call: impl FnOnce(&Client, &DeviceId) -> T + Send + 'static,
) -> JoinHandle<T> {
    let (client, id) = (client.clone(), id.clone());
    spawn_blocking(move || call(&client, &id))
}

async fn blocking<T: Send + 'static>(
    client: &Client,
    id: &DeviceId,
    call: impl FnOnce(&Client, &DeviceId) -> Result<T, service_cli::Error> + Send + 'static,
) -> Result<T, DemoError> {
    Ok(blocking_task(client, id, call).await??)
}

/// The simulated device in its task.
struct RunningDevice {
    events: mpsc::Receiver<Event>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), device_sim::Error>>,
}

impl RunningDevice {
    fn start(identity: DeviceConnectionString, hub: &Emulator) -> Result<Self, DemoError> {
        let mut roots = device_sim::Roots::default();
        roots.add_pem(hub.certificates().authority().pem().as_bytes())?;
        let mut options = device_sim::Options::new(
            Identity::from(identity),
            Security::Tls(roots),
            Arc::new(SystemClock),
        );
        options.apply_delay = APPLY_DELAY;
        let device = Device::new(options)?;
        let (sender, events) = mpsc::channel(EVENTS);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            // The story waits for some events; one that does not fit is none of them.
            let observer = |event| drop(sender.try_send(event));
            let asked = async {
                let _asked = stopped.await;
            };
            device.run(observer, asked).await
        });
        Ok(Self { events, stop, task })
    }

    /// Tells what the device does until it has done what the story waits for.
    async fn follow_until(
        &mut self,
        what: &'static str,
        done: impl Fn(&Event) -> bool,
    ) -> Result<(), DemoError> {
        let following = async {
            while let Some(event) = self.events.recv().await {
                if let Some(text) = describe(&event) {
                    fact(&text)?;
                }
                if done(&event) {
                    return Ok(());
                }
            }
            Err(DemoError::DeviceStopped(what))
        };
        timeout(PATIENCE, following).await.map_err(|_| DemoError::TooSlow(what))?
    }

    async fn stop(self) -> Result<(), DemoError> {
        // A device that has stopped by itself says why as the result of its task.
        let _stopped = self.stop.send(());
        Ok(self.task.await??)
    }
}

fn is_first_report(event: &Event) -> bool {
    matches!(event, Event::Reported { .. })
}

fn is_success(event: &Event) -> bool {
    let Event::Reported { patch, .. } = event else { return false };
    patch.get("status").and_then(Value::as_str) == Some("Success")
}

/// The line that tells an event, where the story has one for it.
fn describe(event: &Event) -> Option<String> {
    let json = |patch| Value::Object(patch);
    match event {
        Event::Connected { endpoint, .. } => Some(format!("connected to {endpoint}")),
        Event::DesiredChanged { patch, version } => {
            Some(format!("told      {} (version {version})", json(patch.clone())))
        }
        Event::Reported { patch, .. } => Some(format!("reported  {}", json(patch.clone()))),
        Event::Refused { reason } | Event::Disconnected { reason, .. } => Some(reason.clone()),
        _ => None,
    }
}

fn tell_end(outcome: &Outcome) -> Result<(), DemoError> {
    let end = if outcome.agreed { "Desired and reported agree" } else { "They do not agree" };
    step(&format!(
        "{end}: configId {}, sendFrequency {SEND_FREQUENCY:?}, after {:.1} s.",
        outcome.config_id,
        outcome.waited.as_secs_f32()
    ))
}

fn step(text: &str) -> Result<(), DemoError> {
    Ok(print(&format!("{STEP}{text}{STEP:#}\n"))?)
}

fn fact(text: &str) -> Result<(), DemoError> {
    Ok(print(&format!("  {FACT}{}{FACT:#}\n", diff::calm(text)))?)
}

fn document(twin: &Twin) -> Result<(), DemoError> {
    let indented: String =
        diff::pretty(&twin.essence()).lines().map(|line| format!("  {line}\n")).collect();
    Ok(print(&indented)?)
}
