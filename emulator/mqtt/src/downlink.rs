//! Writes what the hub has for a device.

use bytes::BytesMut;
use iothub_core::method::MethodCall;
use iothub_core::twin::DesiredPatch;
use iothub_wire::json::twin::{Layout, desired_patch};
use iothub_wire::topic::DownlinkTopic;

use crate::frame;

/// A change of the desired properties.
pub(crate) fn write_desired_patch(output: &mut BytesMut, patch: &DesiredPatch, layout: Layout) {
    let topic = DownlinkTopic::DesiredPatch { version: patch.version };
    frame::write_publish(output, topic.to_string(), desired_patch(patch, layout));
}

/// A call of a direct method.
pub(crate) fn write_method_call(output: &mut BytesMut, call: &MethodCall) {
    let topic = DownlinkTopic::MethodCall { name: call.name.clone(), id: call.id };
    frame::write_publish(output, topic.to_string(), call.payload.as_str().to_owned());
}
