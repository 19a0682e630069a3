//! Whatever is changed, lost and interrupted: once the device is connected and left alone, its
//! reported properties agree with the desired ones.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::configuration::Configuration;

/// What happens next between a back end, a hub that loses things, and a device.
#[derive(Clone, Debug)]
enum Step {
    /// The back end changes something; the notification may get lost.
    Desire { name: &'static str, value: Value, lost: bool },
    /// Time passes.
    Wait { seconds: u64 },
    /// The connection breaks with reports on their way, and is made again.
    Reconnect,
    /// The program is started again and knows nothing.
    Restart,
    /// The hub loses the next report.
    LoseReport,
}

fn step() -> impl Strategy<Value = Step> {
    let id = prop_oneof![Just(json!(1)), Just(json!(2)), Just(json!("x")), Just(json!({}))];
    let frequency = prop_oneof![Just(json!("24h")), Just(json!("5m")), Just(json!("soon"))];
    let fan = prop_oneof![Just(json!(3)), Just(json!({"a": 1})), Just(json!({"b": 2}))];
    let desire = |name, value: BoxedStrategy<Value>| {
        let value = prop_oneof![5 => value, 1 => Just(Value::Null)];
        (value, any::<bool>()).prop_map(move |(value, lost)| Step::Desire { name, value, lost })
    };
    prop_oneof![
        desire("configId", id.boxed()),
        desire("sendFrequency", frequency.boxed()),
        desire("fan", fan.boxed()),
        (0_u64..4).prop_map(|seconds| Step::Wait { seconds }),
        Just(Step::Reconnect),
        Just(Step::Restart),
        Just(Step::LoseReport),
    ]
}

struct World {
    script: Script,
    device: Behavior,
    twin: Twin,
    now: Timestamp,
    lose: bool,
}

impl World {
    fn new() -> Self {
        let script = Script::parse("[desired]\nfan = { apply-after = \"1s\" }").unwrap();
        let mut twin = Twin::default();
        twin.desired.version = 1;
        let mut world = Self {
            device: Behavior::new(&script, Duration::from_secs(2)),
            script,
            twin,
            now: Timestamp::from_unix_seconds(1_000),
            lose: false,
        };
        world.reconnect();
        world
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Desire { name, value, lost } => {
                let patch = Properties::from_iter([(name.to_owned(), value)]);
                merge(&mut self.twin.desired.properties, &patch);
                self.twin.desired.version += 1;
                if !lost {
                    let change = Section { properties: patch, version: self.twin.desired.version };
                    let actions = self.device.desired_changed(&change, self.now);
                    self.carry_out(actions);
                }
            }
            Step::Wait { seconds } => {
                self.now = self.now.after(Duration::from_secs(seconds));
                let actions = self.device.tick(self.now);
                self.carry_out(actions);
            }
            Step::Reconnect => self.reconnect(),
            Step::Restart => {
                self.device = Behavior::new(&self.script, Duration::from_secs(2));
                self.reconnect();
            }
            Step::LoseReport => self.lose = true,
        }
    }

    fn reconnect(&mut self) {
        let actions = self.device.connected();
        self.carry_out(actions);
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Report(_) if std::mem::take(&mut self.lose) => {}
                Action::Report(patch) => {
                    assert!(!patch.is_empty(), "an empty report says nothing");
                    merge(&mut self.twin.reported.properties, &patch);
                }
                Action::GetTwin => {
                    let actions = self.device.twin_received(&self.twin.clone(), self.now);
                    self.carry_out(actions);
                }
                Action::Tell(_) => {}
            }
        }
    }

    fn check(&self) {
        let (desired, reported) = (&self.twin.desired.properties, &self.twin.reported.properties);
        if let Some(fan) = desired.get("fan") {
            assert_eq!(reported.get("fan"), Some(fan));
        }
        assert_eq!(reported.get("pendingConfig"), None);
        let applied = self.device.agreement.applied().properties();
        for (name, value) in &applied {
            assert_eq!(reported.get(name), Some(value), "reported is what is applied");
        }
        let status = reported.get("status").and_then(Value::as_str);
        let wish = Configuration::desired(desired, self.device.agreement.applied());
        match wish {
            Ok(Some(wish)) => {
                assert_eq!(wish.properties(), applied);
                assert_ne!(status, Some("Pending"));
                assert_ne!(status, Some("Error"));
            }
            Ok(None) => assert_ne!(status, Some("Pending")),
            Err(invalid) => {
                assert_eq!(status, Some("Error"));
                assert_eq!(reported.get("statusReason"), Some(&json!(invalid.to_string())));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn reported_comes_to_agree_with_desired(steps in prop::collection::vec(step(), 0..30)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
        world.lose = false;
        world.take(Step::Reconnect);
        world.take(Step::Wait { seconds: 10 });
        world.check();
        let settled = world.twin.reported.clone();
        world.take(Step::Reconnect);
        world.take(Step::Wait { seconds: 10 });
        prop_assert_eq!(&world.twin.reported, &settled, "what agrees is left alone");
    }
}
