//! Carries out what a device asked for, and writes the answer.

use std::sync::Arc;

use bytes::BytesMut;
use iothub_core::error::HubError;
use iothub_core::event::Message;
use iothub_core::fault::line::{Line, Loss};
use iothub_core::fault::message::{FaultKind, FaultMessage, Victim};
use iothub_core::fault::{AnswerFault, Edge};
use iothub_core::hub::Hub;
use iothub_core::method::CallId;
use iothub_core::session::{Assurance, Channel, DeviceSession, Protocol};
use iothub_core::throttle::Operation;
use iothub_core::twin::Twin;
use iothub_wire::api_version::ApiVersion;
use iothub_wire::json;
use iothub_wire::json::twin::Layout;
use iothub_wire::topic::{DownlinkTopic, RequestId};
use tracing::{info, warn};

use crate::frame::{self, Qos};
use crate::inflight::Inflight;
use crate::session::{Action, Request};
use crate::violation::Violation;

/// A device at work.
pub(crate) struct Uplink {
    pub(crate) hub: Hub,
    pub(crate) session: DeviceSession,
    pub(crate) api_version: Option<ApiVersion>,
    pub(crate) line: Arc<dyn Line>,
}

/// Whether the connection goes on.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Flow {
    Continue,
    Disconnect,
    /// It ends as a message asks for it.
    Kill(FaultMessage),
}

impl Uplink {
    /// Carries out `action`, writing what is to be sent to `output`.
    pub(crate) async fn carry_out(
        &self,
        action: Action,
        inflight: &mut Inflight,
        output: &mut BytesMut,
    ) -> Result<Flow, Violation> {
        match action {
            Action::Pong => {
                self.session.heard();
                frame::write_pingresp(output);
            }
            Action::Subscribe { id, channels } => {
                for (channel, assurance) in &channels {
                    self.session.subscribe(*channel, *assurance);
                }
                let granted: Vec<Qos> =
                    channels.into_iter().map(|(_, assurance)| qos(assurance)).collect();
                frame::write_suback(output, id, &granted);
            }
            Action::Unsubscribe { id, channels } => {
                for channel in channels {
                    self.session.unsubscribe(channel);
                }
                frame::write_unsuback(output, id);
            }
            Action::Publish { acknowledge, request } => {
                return self.request(request, acknowledge, output).await;
            }
            Action::Acknowledged { id } => match inflight.acknowledge(id) {
                Some(message) => self.session.acknowledge_devicebound(message),
                None => self.session.heard(),
            },
            Action::Disconnect => return Ok(Flow::Disconnect),
        }
        Ok(Flow::Continue)
    }

    /// An event is acknowledged once it is kept, and everything in the order it came: the C# SDK
    /// gives up on anything else.
    async fn request(
        &self,
        request: Request,
        acknowledge: Option<u16>,
        output: &mut BytesMut,
    ) -> Result<Flow, Violation> {
        if let Request::Event { message, duplicate } = request {
            return self.event(message, duplicate, acknowledge, output).await;
        }
        if let Some(id) = acknowledge {
            frame::write_puback(output, id);
        }
        match request {
            Request::GetTwin { rid } => self.get_twin(rid, output).await,
            Request::PatchReported { rid, version, body } => {
                self.patch_reported(rid, version, &body, output).await;
            }
            Request::MethodResponse { rid, status, body } => {
                self.session.heard();
                // An id that the hub did not give is nobody's, as one that came too late.
                if let Some(id) = CallId::parse(rid.as_str()) {
                    self.session.answer_method(id, status, body);
                }
            }
            Request::Event { .. } => self.session.heard(),
        }
        Ok(Flow::Continue)
    }

    async fn event(
        &self,
        message: Message,
        duplicate: bool,
        acknowledge: Option<u16>,
        output: &mut BytesMut,
    ) -> Result<Flow, Violation> {
        match self.fault_asked(&message) {
            // That which ended the connection before it was acknowledged, and comes again.
            Some(_) if duplicate => self.session.heard(),
            Some(asked) => {
                self.session.heard();
                self.hub.obey(&asked, self.session.id(), Protocol::Mqtt);
                if asked.victim(Protocol::Mqtt).is_some() {
                    return Ok(Flow::Kill(asked));
                }
            }
            None => match self.send_event(message).await {
                Ok(fault) => return Ok(self.acknowledge(acknowledge, fault, output).await),
                // What comes next of the connection, or does not, tells.
                Err(HubError::ConnectionLost(_)) => return Ok(Flow::Continue),
                Err(error) => return Err(Violation::Event(error.to_string())),
            },
        }
        Ok(self.acknowledge(acknowledge, None, output).await)
    }

    async fn acknowledge(
        &self,
        id: Option<u16>,
        fault: Option<AnswerFault>,
        output: &mut BytesMut,
    ) -> Flow {
        let Some(id) = id else { return Flow::Continue };
        // There is nothing to garble but what it acknowledges.
        if let Some(id) = self.hub.arriving(id, fault, |id| id ^ 0x4000).await {
            frame::write_puback(output, id);
        }
        Flow::Continue
    }

    /// What a message asks to happen. One that says something unknown is an event like any other.
    fn fault_asked(&self, message: &Message) -> Option<FaultMessage> {
        let asked = self.hub.fault_asked(message);
        asked.unwrap_or_else(|why| {
            warn!(id = %self.session.id(), %why, "a message asks for no fault that there is");
            None
        })
    }

    /// Ends the connection as a message asks for it, when its time has come; what follows is for
    /// whoever moves the bytes.
    pub(crate) async fn kill(&self, asked: &FaultMessage) {
        self.hub.wait(asked.delay).await;
        info!(id = %self.session.id(), ?asked, "ended a connection as a message wanted it");
        let abrupt = asked.kind == FaultKind::Kill(Victim::Tcp) && !asked.graceful;
        if abrupt {
            self.line.lose(Loss::Reset);
        }
    }

    /// A device over its rate waits for its acknowledgement; far over it, it is disconnected.
    async fn send_event(&self, message: Message) -> Result<Option<AnswerFault>, HubError> {
        let operation = Operation::SendEvent(message.size());
        let send = async {
            let fault = self.admit(operation).await?;
            self.session.send_event(message).await?;
            Ok(fault)
        };
        self.session.noted(operation, send.await)
    }

    async fn admit(&self, operation: Operation) -> Result<Option<AnswerFault>, HubError> {
        let id = Some(self.session.id());
        self.hub.admit_of(operation, id, Edge::Mqtt, &*self.line).await
    }

    async fn get_twin(&self, rid: RequestId, output: &mut BytesMut) {
        let mut fault = None;
        let twin = self.try_get_twin(&mut fault).await;
        let twin = self.session.noted(Operation::ReadTwin, twin);
        let answer = twin.map(|twin| Answer {
            status: 200,
            version: None,
            body: json::twin::device_document(&twin, self.layout()),
        });
        self.answer(rid, answer, fault, output).await;
    }

    async fn try_get_twin(&self, fault: &mut Option<AnswerFault>) -> Result<Twin, HubError> {
        *fault = self.admit(Operation::ReadTwin).await?;
        self.session.twin().await
    }

    async fn patch_reported(
        &self,
        rid: RequestId,
        expected: Option<u64>,
        body: &[u8],
        output: &mut BytesMut,
    ) {
        let mut fault = None;
        let version = self.try_patch_reported(expected, body, &mut fault).await;
        let version = self.session.noted(Operation::UpdateTwin, version);
        let answer = version.map(|version| Answer {
            status: 204,
            version: Some(version),
            body: String::new(),
        });
        self.answer(rid, answer, fault, output).await;
    }

    async fn try_patch_reported(
        &self,
        expected: Option<u64>,
        body: &[u8],
        fault: &mut Option<AnswerFault>,
    ) -> Result<u64, HubError> {
        // Such a client may connect, but the service answers 400 to what it reports.
        let version = self
            .api_version
            .as_ref()
            .ok_or_else(|| HubError::InvalidProtocolVersion(String::new()))?;
        let patch = json::parse_object(body)?;
        *fault = self.admit(Operation::UpdateTwin).await?;
        self.session.patch_reported(&patch, expected, version.twin_dialect()).await
    }

    /// Who does not listen to answers gets none.
    async fn answer(
        &self,
        rid: RequestId,
        answer: Result<Answer, HubError>,
        fault: Option<AnswerFault>,
        output: &mut BytesMut,
    ) {
        if self.session.listens_to(Channel::TwinResponses).is_none() {
            return;
        }
        let Answer { status, version, body } = answer.unwrap_or_else(|error| self.failure(&error));
        let topic = DownlinkTopic::TwinResponse { rid, status, version }.to_string();
        let Some(body) = self.hub.faulty_body(body, fault).await else { return };
        frame::write_publish(output, topic, body);
    }

    fn failure(&self, error: &HubError) -> Answer {
        let now = self.hub.now();
        let tracking_id = json::error::tracking_id(self.hub.random().bytes(), now);
        Answer {
            status: u16::try_from(error.code().number / 1000).unwrap_or(500),
            version: None,
            body: json::error::flat(error, &tracking_id, now),
        }
    }

    /// How this client wants its twin documents laid out.
    pub(crate) fn layout(&self) -> Layout {
        Layout::of(self.api_version.as_ref())
    }
}

struct Answer {
    status: u16,
    version: Option<u64>,
    body: String,
}

fn qos(assurance: Assurance) -> Qos {
    match assurance {
        Assurance::AtMostOnce => Qos::AtMostOnce,
        Assurance::AtLeastOnce => Qos::AtLeastOnce,
    }
}
