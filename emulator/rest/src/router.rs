//! The routes.

use axum::Router;
use axum::extract::Request;
use axum::http::Method;
use axum::middleware::{from_fn_with_state, map_request};
use axum::routing::{MethodFilter, MethodRouter, delete, get, on, post};
use iothub_core::directory::Directory;
use iothub_core::error::HubError;
use iothub_core::fault::reach::RequestKind;
use tower::Layer;
use tower::util::BoxCloneSyncService;

use crate::error::{Failure, finish};
use crate::{
    bulk, commands, configurations, device_api, devices, digital_twins, jobs, methods, modules,
    path, query, statistics, throttle, transfer, twins, unread,
};

/// What the service offers and the emulator serves; `docs/compat.md` lists the same.
pub const EMULATED: &[(&str, &str)] = &[
    ("GET", "/devices"),
    ("POST", "/devices"),
    ("POST", "/devices/keys/regenerate"),
    ("GET", "/jobs"),
    ("POST", "/jobs/create"),
    ("GET", "/jobs/{id}"),
    ("DELETE", "/jobs/{id}"),
    ("GET", "/devices/{id}"),
    ("PUT", "/devices/{id}"),
    ("DELETE", "/devices/{id}"),
    ("POST", "/devices/query"),
    ("GET", "/twins/{id}"),
    ("PATCH", "/twins/{id}"),
    ("PUT", "/twins/{id}"),
    ("GET", "/devices/{id}/modules"),
    ("GET", "/devices/{id}/modules/{module}"),
    ("PUT", "/devices/{id}/modules/{module}"),
    ("DELETE", "/devices/{id}/modules/{module}"),
    ("GET", "/twins/{id}/modules/{module}"),
    ("PATCH", "/twins/{id}/modules/{module}"),
    ("PUT", "/twins/{id}/modules/{module}"),
    ("DELETE", "/devices/{id}/commands"),
    ("POST", "/devices/{id}/messages/events"),
    ("GET", "/devices/{id}/messages/devicebound"),
    ("DELETE", "/devices/{id}/messages/devicebound/{token}"),
    ("POST", "/devices/{id}/messages/devicebound/{token}/abandon"),
    ("POST", "/twins/{id}/methods"),
    ("POST", "/twins/{id}/modules/{module}/methods"),
    ("POST", "/devices/{id}/applyconfigurationcontent"),
    ("GET", "/configurations"),
    ("GET", "/configurations/{id}"),
    ("PUT", "/configurations/{id}"),
    ("DELETE", "/configurations/{id}"),
    ("POST", "/configurations/testqueries"),
    ("GET", "/jobs/v2/query"),
    ("PUT", "/jobs/v2/{id}"),
    ("GET", "/jobs/v2/{id}"),
    ("POST", "/jobs/v2/{id}/cancel"),
    ("GET", "/digitaltwins/{id}"),
    ("PATCH", "/digitaltwins/{id}"),
    ("POST", "/digitaltwins/{id}/commands/{command}"),
    ("POST", "/digitaltwins/{id}/components/{component}/commands/{command}"),
    ("GET", "/statistics/devices"),
    ("GET", "/statistics/service"),
    ("GET", WEBSOCKET),
];
/// Served by the program, which knows the edge of MQTT too.
const WEBSOCKET: &str = "/$iothub/websocket";

/// What the service offers and the emulator does not serve yet: these answer
/// `FeatureNotSupported`, so that a caller can tell them from a mistyped path.
pub const NOT_EMULATED: &[(&str, &str)] = &[
    ("POST", "/devices/{id}/files"),
    ("POST", "/devices/{id}/files/notifications"),
    ("GET", "/messages/servicebound/feedback"),
];

/// The requests that faults can strike: those that are served here.
pub fn request_kinds() -> Vec<RequestKind> {
    let here = EMULATED.iter().filter(|(_, path)| *path != WEBSOCKET);
    here.map(|(method, path)| RequestKind {
        route: format!("{method} {path}"),
        operation: throttle::name_of(method, path),
    })
    .collect()
}

/// A service that answers requests of back ends.
pub type Service = BoxCloneSyncService<Request, axum::response::Response, std::convert::Infallible>;

/// The HTTPS edge over the hubs of `directory`.
pub fn service(directory: &Directory) -> Service {
    let router = with_not_emulated(Router::new())
        .route("/devices", get(devices::list).post(bulk::post))
        .route("/devices/keys/regenerate", post(bulk::renew_keys))
        .route("/jobs", get(transfer::list))
        .route("/jobs/create", post(transfer::create))
        .route("/jobs/{id}", get(transfer::get).delete(transfer::cancel))
        .route("/devices/{id}", get(devices::get).put(devices::put).delete(devices::delete))
        // A device may have the name of an operation; then the method tells which is meant.
        .route("/devices/query", get(devices::get).put(devices::put).delete(devices::delete))
        .route("/devices/query", post(query::post))
        .route("/devices/{id}/modules", get(modules::list))
        .route(
            "/devices/{id}/modules/{module}",
            get(modules::get).put(modules::put).delete(modules::delete),
        )
        .route("/twins/{id}/modules/{module}", get(twins::get).patch(twins::patch).put(twins::put))
        .route("/twins/{id}", get(twins::get).patch(twins::patch).put(twins::put))
        .route("/devices/{id}/commands", delete(commands::purge))
        .route("/devices/{id}/messages/events", post(device_api::send))
        .route("/devices/{id}/messages/devicebound", get(device_api::receive))
        .route("/devices/{id}/messages/devicebound/{token}", delete(device_api::settle))
        .route("/devices/{id}/messages/devicebound/{token}/abandon", post(device_api::abandon))
        .route("/twins/{id}/methods", post(methods::invoke))
        .route("/twins/{id}/modules/{module}/methods", post(methods::invoke))
        .route("/devices/{id}/applyconfigurationcontent", post(configurations::apply_content))
        .route("/configurations", get(configurations::list))
        .route("/configurations/testqueries", post(configurations::test_queries))
        .route(
            "/configurations/{id}",
            get(configurations::get).put(configurations::put).delete(configurations::delete),
        )
        .route("/jobs/v2/query", get(jobs::query))
        .route("/jobs/v2/{id}", get(jobs::get).put(jobs::put))
        .route("/jobs/v2/{id}/cancel", post(jobs::cancel))
        .route("/digitaltwins/{id}", get(digital_twins::get).patch(digital_twins::patch))
        .route("/digitaltwins/{id}/commands/{command}", post(digital_twins::command))
        .route(
            "/digitaltwins/{id}/components/{component}/commands/{command}",
            post(digital_twins::command),
        )
        .route("/statistics/devices", get(statistics::devices))
        .route("/statistics/service", get(statistics::service))
        .fallback(unknown)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(directory.clone(), finish))
        .with_state(directory.clone());
    // Outside of the router, since a layer inside runs when the route has been chosen already.
    BoxCloneSyncService::new(
        map_request(path::normalize).layer(map_request(unread::drain).layer(router)),
    )
}

fn with_not_emulated(router: Router<Directory>) -> Router<Directory> {
    NOT_EMULATED.iter().fold(router, |router, (method, path)| {
        let Some(filter) =
            Method::from_bytes(method.as_bytes()).ok().and_then(|m| MethodFilter::try_from(m).ok())
        else {
            return router;
        };
        let name = format!("{method} {path}");
        let answer = move || async move { Failure(HubError::FeatureNotSupported(name)) };
        let route: MethodRouter<Directory> = on(filter, answer);
        router.route(path, route)
    })
}

async fn unknown(request: Request) -> Failure {
    let (method, path) = (request.method(), request.uri().path());
    Failure(HubError::NotFound(format!("there is no {method} {path}")))
}

async fn method_not_allowed(request: Request) -> Failure {
    let (method, path) = (request.method(), request.uri().path());
    Failure(HubError::MethodNotAllowed(format!("{path} does not know {method}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/compat.md` tells users what is emulated; it must tell the truth.
    #[test]
    fn the_compatibility_table_lists_the_routes() {
        let table = include_str!("../../../docs/compat.md");
        let cell = |method: &str, path: &str| format!("| `{method} {path}` |");
        let row = |method, path| {
            table
                .lines()
                .find(|line| line.starts_with(&cell(method, path)))
                .unwrap_or_else(|| panic!("docs/compat.md has no row for {method} {path}"))
        };
        for (method, path) in EMULATED {
            assert!(!row(method, path).contains("| not |"), "{method} {path} is emulated");
        }
        for (method, path) in NOT_EMULATED {
            assert!(row(method, path).contains("| not |"), "{method} {path} is not emulated");
        }
        let rows =
            table.lines().filter(|line| line.starts_with("| `") && line.contains(" /")).count();
        assert_eq!(rows, EMULATED.len() + NOT_EMULATED.len(), "rows of REST operations");
    }
}
