//! Who may do something now: what every operation of every protocol passes, where faults strike and
//! throttles count.

use super::Hub;
use crate::devicebound::Delivery;
use crate::error::HubError;
use crate::fault::line::{Line, Loss};
use crate::fault::preset::Preset;
use crate::fault::{self, ActiveFault, AnswerFault, Edge, Failure, Fault, Faults, Strike, Target};
use crate::ids::IdentityId;
use crate::journal::What;
use crate::throttle::Operation;

impl Hub {
    /// Counts an operation, and returns when the hub's throttles let it through.
    ///
    /// # Errors
    ///
    /// It would have to wait too long, or the messages of the day are used up.
    pub async fn admit(&self, operation: Operation) -> Result<(), HubError> {
        let target = Target { operation: Some(fault::name_of(operation)), ..Target::default() };
        self.admit_target(Some(operation), target).await.map(drop)
    }

    /// The same for an operation over a connection, which a fault may break; of a device or module,
    /// or of a back end. Says what happens to the answer.
    ///
    /// # Errors
    ///
    /// As [`Hub::admit`].
    pub async fn admit_of(
        &self,
        operation: Operation,
        id: Option<&IdentityId>,
        edge: Edge,
        line: &dyn Line,
    ) -> Result<Option<AnswerFault>, HubError> {
        let name = Some(fault::name_of(operation));
        let target = Target { operation: name, edge: Some(edge), id, ..Target::default() };
        let admitted = self.admit_target(Some(operation), target).await;
        lose_if_lost(line, admitted)
    }

    /// The same for a request over HTTPS: the operation that it counts for, and its method and path,
    /// which are written out only if there are faults.
    ///
    /// # Errors
    ///
    /// As [`Hub::admit`].
    pub async fn admit_request(
        &self,
        operation: Option<Operation>,
        route: impl FnOnce() -> String,
        line: &dyn Line,
    ) -> Result<Option<AnswerFault>, HubError> {
        let route = self.has_faults().then(route);
        let target = Target {
            operation: operation.map(fault::name_of),
            edge: Some(Edge::Https),
            route: route.as_deref(),
            ..Target::default()
        };
        let admitted = self.admit_target(operation, target).await;
        lose_if_lost(line, admitted)
    }

    /// What arrives of a cloud-to-device message that is handed to a connected device. If nothing does,
    /// it is as if it had been sent: its lock runs. No throttle counts what a device does not ask for.
    pub async fn hand_to_device(
        &self,
        delivery: Delivery,
        id: &IdentityId,
        edge: Edge,
        line: &dyn Line,
    ) -> Option<Delivery> {
        let operation = Operation::ReceiveDevicebound;
        let name = Some(fault::name_of(operation));
        let target =
            Target { operation: name, edge: Some(edge), id: Some(id), ..Target::default() };
        let Some(strike) = self.0.faults.strike(&target, || self.now()) else {
            return Some(delivery);
        };
        let suffered = self.suffer(&strike, Some(operation), target).await;
        let fault = lose_if_lost(line, suffered).ok()?;
        self.arriving(delivery, fault, Delivery::corrupted).await
    }

    /// Lets a client in that a listener has accepted, or says how it is kept out.
    pub async fn admit_client(&self, edge: Edge) -> Option<Loss> {
        let operation = Some(edge.accepting());
        let target = Target { operation, edge: Some(edge), accepts: true, ..Target::default() };
        match self.admit_target(None, target).await {
            Ok(_) => None,
            Err(HubError::ConnectionLost(loss)) => Some(loss),
            Err(_) => Some(Loss::Reset),
        }
    }

    async fn admit_target(
        &self,
        operation: Option<Operation>,
        target: Target<'_>,
    ) -> Result<Option<AnswerFault>, HubError> {
        let strike = self.0.faults.strike(&target, || self.now());
        let answer = match strike {
            None => None,
            Some(strike) => self.suffer(&strike, operation, target).await?,
        };
        let (Some(operation), Some(throttles)) = (operation, &self.0.throttles) else {
            return Ok(answer);
        };
        let now = self.now();
        let until = throttles.admit(operation, now)?;
        if until > now {
            self.clock().sleep_until(until).await;
        }
        Ok(answer)
    }

    async fn suffer(
        &self,
        strike: &Strike,
        operation: Option<Operation>,
        target: Target<'_>,
    ) -> Result<Option<AnswerFault>, HubError> {
        let name = target.operation.unwrap_or("request");
        self.note(target.id, What::Fault { fault: strike.fault, operation: name });
        self.wait(strike.before()).await;
        let Some(failure) = strike.failure else { return Ok(None) };
        if let Some(answer) = strike.answer() {
            return Ok(Some(answer));
        }
        if let (Failure::Disconnect, Some(id)) = (failure, target.id) {
            // Of all connections of a device only the hub knows how each is ended.
            self.disconnect(id);
            return Err(Failure::Unavailable.error(operation));
        }
        Err(failure.error(operation))
    }

    /// Adds a fault; none if there are as many as there may be.
    pub fn add_fault(&self, fault: Fault) -> Option<ActiveFault> {
        self.0.faults.add(fault, self.now())
    }

    /// Adds the faults of a preset; none if they would be more than there may be.
    pub fn add_preset(&self, preset: Preset, seed: u64) -> Option<Vec<ActiveFault>> {
        let added = self.0.faults.add_all(preset.faults(seed), self.now())?;
        if preset.ends_connections() {
            for connection in self.connections() {
                self.disconnect(&connection.id);
            }
        }
        Some(added)
    }

    /// Whether there are faults. As cheap as can be.
    pub fn has_faults(&self) -> bool {
        self.0.faults.any()
    }

    /// Removes a fault; false if there is none of that number.
    pub fn remove_fault(&self, id: u64) -> bool {
        self.0.faults.remove(id)
    }

    /// The faults that were added.
    pub fn faults(&self) -> Vec<ActiveFault> {
        self.0.faults.list()
    }

    /// Lets messages of devices ask for faults, or no longer.
    pub fn obey_fault_messages(&self, obey: bool) {
        self.0.faults.obey_messages(obey);
    }

    /// What arrives of something that is sent, when it does: late, garbled by `corrupt`, or never.
    pub async fn arriving<T>(
        &self,
        sent: T,
        fault: Option<AnswerFault>,
        corrupt: impl FnOnce(T) -> T,
    ) -> Option<T> {
        match fault {
            None => Some(sent),
            Some(AnswerFault::Lost) => None,
            Some(AnswerFault::Late(span)) => {
                self.wait(span).await;
                Some(sent)
            }
            Some(AnswerFault::Corrupt) => Some(corrupt(sent)),
        }
    }

    /// The same for the body of an answer.
    pub async fn faulty_body(&self, body: String, fault: Option<AnswerFault>) -> Option<Vec<u8>> {
        self.arriving(body.into_bytes(), fault, |body| fault::corrupted(&body)).await
    }

    pub(crate) fn injected(&self) -> &Faults {
        &self.0.faults
    }
}

/// Breaks a connection if that is the fault.
fn lose_if_lost<T>(line: &dyn Line, admitted: Result<T, HubError>) -> Result<T, HubError> {
    if let Err(HubError::ConnectionLost(loss)) = &admitted {
        line.lose(*loss);
    }
    admitted
}
