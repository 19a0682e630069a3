//! Claims: a token for an address, put on `$cbs` before links to that address are attached.

use fe2o3_amqp::types::primitives::{SimpleValue, Value};

use crate::connection::Connection;
use crate::error::Error;
use crate::request::Requester;

/// What a token opens, and the token.
#[derive(Clone, Debug)]
pub struct Token {
    /// What it opens: `host/devices/dev1`.
    pub audience: String,
    /// The shared access signature.
    pub signature: String,
}

/// The way to show tokens on one connection.
pub struct Claims(Requester);

impl Claims {
    /// Attaches the links.
    ///
    /// # Errors
    ///
    /// The peer refuses them.
    pub async fn attach(connection: &mut Connection) -> Result<Self, Error> {
        Requester::attach(connection, "$cbs").await.map(Self)
    }

    /// Shows a token: the first, or one that follows it before it ends.
    ///
    /// # Errors
    ///
    /// The peer does not accept it.
    pub async fn put(&mut self, token: Token) -> Result<(), Error> {
        let about = vec![
            ("operation", SimpleValue::String("put-token".to_owned())),
            ("type", SimpleValue::String("servicebus.windows.net:sastoken".to_owned())),
            ("name", SimpleValue::String(token.audience)),
        ];
        self.0.ask(about, Value::String(token.signature)).await.map(drop)
    }
}
