//! Bulk operations on the registry: `POST /devices` and `/devices/keys/regenerate`.

use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use iothub_core::error::HubError;
use iothub_core::limits;
use iothub_wire::json::{bulk, keys, parse_objects};

use crate::auth::Service;
use crate::error::{ERROR_CODE, Failure, json};
use crate::extract::{Body, Filled, Version};

/// The C# SDK takes a 400 for the result of a bulk operation only if it has this header, too.
const BULK_ERROR_CODE: HeaderName = HeaderName::from_static("iothuberrorcode");
const FAILURE: HeaderValue = HeaderValue::from_static("BulkRegistryOperationFailure");

pub(crate) async fn post(
    Service(session): Service,
    Version(version): Version,
    Filled(body): Filled,
) -> Result<Response, Failure> {
    let objects = parse_objects(&body, limits::BULK_ITEMS, HubError::TooManyDevices)?;
    let items = objects.into_iter().map(bulk::parse_item).collect::<Result<Vec<_>, _>>()?;
    let result = session.bulk(&items, version.twin_dialect()).await?;
    let mut response = json(bulk::result(&result));
    if !result.errors.is_empty() {
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response.headers_mut().insert(BULK_ERROR_CODE, FAILURE);
        response.headers_mut().insert(ERROR_CODE, FAILURE);
    }
    Ok(response)
}

pub(crate) async fn renew_keys(
    Service(session): Service,
    Version(_): Version,
    Body(body): Body,
) -> Result<Response, Failure> {
    let (which, ids) = keys::parse_renewal(&body)?;
    let result = session.renew_keys(&ids, which).await?;
    Ok(json(keys::renewed(which, &result)))
}
