//! Writes what the hub has for a device.

use bytes::BytesMut;
use iothub_core::devicebound::Delivery;
use iothub_core::method::MethodCall;
use iothub_core::session::{Assurance, DeviceSession};
use iothub_core::twin::DesiredPatch;
use iothub_wire::devicebound;
use iothub_wire::json::twin::{Layout, desired_patch};
use iothub_wire::topic::DownlinkTopic;

use tracing::info;

use crate::frame;
use crate::inflight::Inflight;

/// A change of the desired properties.
pub(crate) fn write_desired_patch(output: &mut BytesMut, patch: &DesiredPatch, layout: Layout) {
    let topic = DownlinkTopic::DesiredPatch { version: patch.version };
    frame::write_publish(output, topic.to_string(), desired_patch(patch, layout));
}

/// A cloud-to-device message. One whose properties do not fit into a topic can never be delivered
/// this way, and is rejected.
pub(crate) fn write_devicebound(
    output: &mut BytesMut,
    delivery: &Delivery,
    inflight: &mut Inflight,
    session: &DeviceSession,
) {
    let Delivery { message, sequence_number, redelivered, .. } = delivery;
    let topic = devicebound::topic(message);
    if u16::try_from(topic.len()).is_err() {
        let bytes = topic.len();
        info!(id = %session.id(), bytes, "rejected a message whose topic is too long for MQTT");
        // If it is not locked any more, it is dealt with when it comes again.
        let _lock_lost = session.reject_devicebound(delivery.lock_token);
        return;
    }
    let body = &message.message.body;
    match delivery.assurance {
        Assurance::AtMostOnce => frame::write_publish(output, topic, body.clone()),
        Assurance::AtLeastOnce => {
            let id = inflight.assign(*sequence_number);
            frame::write_acknowledged_publish(output, id, *redelivered, &topic, body);
        }
    }
}

/// A call of a direct method.
pub(crate) fn write_method_call(output: &mut BytesMut, call: &MethodCall) {
    let topic = DownlinkTopic::MethodCall { name: call.name.clone(), id: call.id };
    frame::write_publish(output, topic.to_string(), call.payload.as_str().to_owned());
}
