//! What comes before the first AMQP frame: protocol headers, and SASL for those who want it.

use bytes::Bytes;
use iothub_core::auth::sas::SasToken;
use iothub_core::directory::Directory;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::connection::End;
use crate::grants::Grants;
use crate::performative::{Performative, write_frame};
use crate::socket::Socket;
use crate::value::Value;

const AMQP: [u8; 8] = *b"AMQP\x00\x01\x00\x00";
const SASL: [u8; 8] = *b"AMQP\x03\x01\x00\x00";
const SASL_FRAME: u8 = 1;
const MECHANISMS: [&str; 4] = ["MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL"];
const OUTCOME_OK: u8 = 0;
const OUTCOME_AUTH: u8 = 1;

/// Brings a connection to where AMQP frames begin.
pub(crate) async fn shake<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut Socket<S>,
    directory: &Directory,
    grants: &mut Grants,
) -> Result<(), End> {
    let mut header = socket.header().await?;
    if header == SASL {
        sasl(socket, directory, grants).await?;
        header = socket.header().await?;
    }
    // Answered in any case: a client that speaks another protocol learns which one is spoken here.
    socket.output.extend_from_slice(&AMQP);
    if header == AMQP { Ok(()) } else { Err(End::Protocol(header)) }
}

async fn sasl<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut Socket<S>,
    directory: &Directory,
    grants: &mut Grants,
) -> Result<(), End> {
    socket.output.extend_from_slice(&SASL);
    let mechanisms = Value::Array(MECHANISMS.into_iter().map(Value::symbol).collect());
    write_frame(&mut socket.output, SASL_FRAME, 0, (0x40, vec![mechanisms]), &[]);
    socket.flush().await?;
    let Some(Performative::SaslInit { mechanism, response }) =
        socket.next_frame().await?.performative
    else {
        return Err(End::Refused("expected sasl-init".to_owned()));
    };
    let decided = match mechanism.as_str() {
        "ANONYMOUS" | "MSSBCBS" => Ok(()),
        "EXTERNAL" if grants.certificate.is_some() => Ok(()),
        "EXTERNAL" => Err("EXTERNAL without a certificate".to_owned()),
        "PLAIN" => plain(&response, directory, grants).await,
        other => Err(format!("mechanism is {other:?}, expected one of {MECHANISMS:?}")),
    };
    let code = if decided.is_ok() { OUTCOME_OK } else { OUTCOME_AUTH };
    let outcome = vec![Value::Ubyte(code), Value::Null];
    write_frame(&mut socket.output, SASL_FRAME, 0, (0x44, outcome), &[]);
    socket.flush().await?;
    decided.map_err(End::Refused)
}

/// `{policy}@sas.root.{hub}` or `{device}@sas.{hub}`, and a token as the password.
async fn plain(response: &Bytes, directory: &Directory, grants: &mut Grants) -> Result<(), String> {
    let text = std::str::from_utf8(response).map_err(|_| "PLAIN response is not UTF-8")?;
    let parts: Vec<&str> = text.split('\0').collect();
    let [_, user, password] = parts.as_slice() else {
        return Err("PLAIN response has not the three parts of RFC 4616".to_owned());
    };
    let Some((name, realm)) = user.split_once("@sas.") else {
        return Err(format!("user is {user:?}, expected POLICY@sas.root.HUB or DEVICE@sas.HUB"));
    };
    let (hub, audience) = match realm.strip_prefix("root.") {
        Some(hub) => {
            check_policy(name, password)?;
            (hub, hub.to_owned())
        }
        None => (realm, format!("{realm}/devices/{name}")),
    };
    let hub = directory.find_named(hub).map_err(|why| why.to_string())?;
    grants.put(hub, &audience, password).await.map_err(|why| why.to_string())
}

/// Who comes in the name of a policy brings a token of that policy.
fn check_policy(name: &str, token: &str) -> Result<(), String> {
    let token = SasToken::parse(token).map_err(|why| why.to_string())?;
    match token.policy() {
        Some(policy) if policy == name => Ok(()),
        Some(policy) => Err(format!("user is of policy {name:?}, its token of {policy:?}")),
        None => Err(format!("user is of policy {name:?}, its token of none")),
    }
}
