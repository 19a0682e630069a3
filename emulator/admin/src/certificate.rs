//! `/hubs/{name}/certificate`: what the TLS listeners of a hub show of themselves.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use iothub_wire::json::field::unknown_field;
use serde_json::{Value, json};

use crate::hubs::{HubRefusal, Hubs, invalid, object};

/// A certificate that a hub shows, and what is wrong with it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum CertificateKind {
    /// Nothing.
    #[default]
    Good,
    /// Its time is over.
    Expired,
    /// Its time has yet to come.
    NotYetValid,
    /// Nobody but itself vouches for it.
    SelfSigned,
    /// It is for another host.
    WrongName,
    /// An authority that nobody trusts vouches for it.
    WrongAuthority,
}

impl CertificateKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Good,
        Self::Expired,
        Self::NotYetValid,
        Self::SelfSigned,
        Self::WrongName,
        Self::WrongAuthority,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Expired => "expired",
            Self::NotYetValid => "notYetValid",
            Self::SelfSigned => "selfSigned",
            Self::WrongName => "wrongName",
            Self::WrongAuthority => "wrongAuthority",
        }
    }
}

pub(crate) async fn find<H: Hubs>(
    State(hubs): State<Arc<H>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, HubRefusal> {
    let kind = hubs.certificate(&name).ok_or(HubRefusal::NotFound(name))?;
    Ok(Json(document(kind)))
}

pub(crate) async fn show<H: Hubs>(
    State(hubs): State<Arc<H>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Response> {
    let kind = parse(&body).map_err(|mistakes| invalid("InvalidCertificate", &mistakes))?;
    hubs.show_certificate(&name, kind).map_err(HubRefusal::into_response)?;
    Ok(Json(document(kind)))
}

fn document(kind: CertificateKind) -> Value {
    json!({ "kind": kind.name() })
}

/// Reads which certificate is wanted; every mistake is told.
fn parse(body: &[u8]) -> Result<CertificateKind, Vec<String>> {
    let fields = object(body)?;
    let mut wanted = None;
    let mut mistakes = Vec::new();
    for (field, value) in &fields {
        let kinds = CertificateKind::ALL;
        match kinds.iter().find(|kind| value.as_str() == Some(kind.name())) {
            _ if field != "kind" => {
                mistakes.push(unknown_field(field, &["kind"]));
            }
            Some(kind) => wanted = Some(*kind),
            None => {
                let names = kinds.map(CertificateKind::name).join(", ");
                mistakes.push(format!("kind is {value}, expected one of {names}"));
            }
        }
    }
    match wanted {
        Some(kind) if mistakes.is_empty() => Ok(kind),
        None if mistakes.is_empty() => Err(vec!["kind is missing".to_owned()]),
        _ => Err(mistakes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_read_and_every_mistake_told() {
        for kind in CertificateKind::ALL {
            assert_eq!(parse(document(kind).to_string().as_bytes()), Ok(kind));
        }
        let table: [(&str, &[&str]); 3] = [
            ("{}", &["kind is missing"]),
            (
                r#"{"kind": "bad"}"#,
                &[
                    "kind is \"bad\", expected one of good, expired, notYetValid, selfSigned, wrongName, wrongAuthority",
                ],
            ),
            (r#"{"kind": "good", "name": 1}"#, &["there is no field \"name\", expected kind"]),
        ];
        for (body, expected) in table {
            assert_eq!(parse(body.as_bytes()).unwrap_err(), expected, "{body}");
        }
    }
}
