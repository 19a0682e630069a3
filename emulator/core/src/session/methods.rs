//! Direct methods: a back end calls, a device answers.

use bytes::Bytes;

use super::device::DeviceSession;
use super::service::ServiceSession;
use crate::auth::policy::AccessRight;
use crate::error::HubError;
use crate::ids::IdentityId;
use crate::journal::What;
use crate::method::broker::Answer;
use crate::method::{self, CallId, MethodAnswer, MethodRequest};

impl ServiceSession {
    /// Calls a method of a device or module and waits for the answer. Dropping the future gives
    /// the call up.
    ///
    /// # Errors
    ///
    /// There is no such device, it does not come or answer in time, leaves before it answers,
    /// answers with something that is no answer, or the caller may not connect as a service.
    pub async fn invoke_method(
        &self,
        id: &IdentityId,
        request: &MethodRequest,
    ) -> Result<MethodAnswer, HubError> {
        self.require(AccessRight::ServiceConnect)?;
        let result = method::invoke(self.hub(), id, request).await;
        let outcome = match &result {
            Ok(answer) => Ok(answer.status),
            Err(error) => Err(error.to_string()),
        };
        self.hub()
            .note(Some(id), What::Method { name: request.name().as_str().to_owned(), outcome });
        result
    }
}

impl DeviceSession {
    /// Answers a call that came over this connection. If nobody waits for it any more, nothing
    /// happens.
    pub fn answer_method(&self, id: CallId, status: i32, body: Bytes) {
        self.calls().answer(id, Answer { status, body });
    }
}
