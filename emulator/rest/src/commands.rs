//! The queue of a device, as a back end sees it: `/devices/{id}/commands`.

use axum::response::Response;
use iothub_wire::json::messages::purged;

use crate::auth::Service;
use crate::error::{Failure, json};
use crate::extract::{Device, Version};

pub(crate) async fn purge(
    Service(session): Service,
    Version(_): Version,
    Device(id): Device,
) -> Result<Response, Failure> {
    let count = session.purge_devicebound(&id).await?;
    Ok(json(purged(&id, count)))
}
