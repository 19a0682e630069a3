//! What of a message both its readers want.

use fe2o3_amqp::types::messaging::Body;
use fe2o3_amqp::types::primitives::Value;

/// The bytes of a body; a message of IoT Hub has no other form of it.
pub fn bytes(body: &Body<Value>) -> Vec<u8> {
    match body {
        Body::Data(parts) => parts.iter().flat_map(|part| part.0.iter().copied()).collect(),
        _ => Vec::new(),
    }
}
