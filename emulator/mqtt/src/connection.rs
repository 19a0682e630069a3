//! The one task of a connection: it moves bytes, and carries out what the session decides.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use iothub_core::auth::x509::CertificateChain;
use iothub_core::devicebound::Delivery;
use iothub_core::directory::Directory;
use iothub_core::error::HubError;
use iothub_core::event::Message;
use iothub_core::fault::line::Line;
use iothub_core::fault::message::FaultMessage;
use iothub_core::fault::{AnswerFault, Edge};
use iothub_core::limits;
use iothub_core::session::{CloseReason, Connected, Downlink};
use iothub_core::time::Sleep;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info};

use crate::connect::{Admitted, ConnectRefusal, admit};
use crate::downlink::{write_desired_patch, write_devicebound, write_method_call};
use crate::frame::{self, ConnackCode, Packet};
use crate::inflight::Inflight;
use crate::session;
use crate::uplink::{Flow, Uplink};
use crate::violation::Violation;

/// How much is read at first, which is all that a connection keeps while it waits, and how much once
/// a packet turns out to be longer: a TLS record.
const FIRST_READ_BYTES: usize = 1024;
const READ_BYTES: usize = 16 * 1024;
/// How much is gathered before it is written.
const WRITE_BYTES: usize = 64 * 1024;
/// How long saying goodbye may take.
const GOODBYE_TIME: Duration = Duration::from_secs(1);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// The client said DISCONNECT.
    #[error("client disconnected")]
    Disconnected,
    /// The client closed the connection without a DISCONNECT.
    #[error("client closed the connection")]
    PeerClosed,
    /// The client was refused.
    #[error("refused: {0}")]
    Refused(String),
    /// The client broke a rule.
    #[error("{0}")]
    Violation(#[from] Violation),
    /// The client was silent for too long.
    #[error("nothing came for {0:?}")]
    Silent(Duration),
    /// The client stopped in the middle of a packet, or took nothing of what it was sent.
    #[error("client stalled for {0:?}")]
    Stalled(Duration),
    /// The client's token ended.
    #[error("token expired")]
    Expired,
    /// The hub ended it.
    #[error("closed by the hub: {0:?}")]
    Closed(CloseReason),
    /// A fault broke it before the client was let in.
    #[error("broken by a fault")]
    Lost,
    /// A message asked for its end.
    #[error("ended as a message wanted it")]
    Killed,
    /// The program stops.
    #[error("shutting down")]
    Drained,
    /// The socket failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Serves one client until the connection ends; `drain` ends it from outside. `shown` are the
/// certificates whose key the client proved to have, and `line` breaks the connection below.
pub async fn serve<S>(
    stream: S,
    shown: Option<CertificateChain>,
    directory: &Directory,
    line: Arc<dyn Line>,
    drain: impl Future<Output = ()>,
) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut socket = Socket { stream, input: BytesMut::new(), output: BytesMut::new() };
    let mut drain = pin!(drain);
    let end = match socket.connect(shown, directory, &*line, drain.as_mut()).await {
        Ok(admitted) => converse(&mut socket, admitted, line, drain).await,
        Err(End::Lost) => socket.outlast(drain).await,
        Err(end) => end,
    };
    // The client may be gone already; what is left to say is a courtesy.
    let _goodbye = timeout(GOODBYE_TIME, socket.finish()).await;
    end
}

/// Serves an admitted client. Its will is published unless it said goodbye.
async fn converse<S>(
    socket: &mut Socket<S>,
    admitted: Admitted,
    line: Arc<dyn Line>,
    drain: impl Future<Output = ()>,
) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Admitted { hub, connected, api_version, silence, will, fault } = admitted;
    let Connected { session, receiver, resumed } = connected;
    let id = session.id().clone();
    debug!(%id, "connected");
    let uplink = Uplink { hub, session, api_version, line };
    let inflight = Inflight::default();
    let conversation = Conversation { socket, uplink: &uplink, receiver, inflight, silence };
    let end = conversation.run((resumed, fault), drain).await;
    uplink.session.ends(&end);
    match &end {
        End::Violation(why) => info!(%id, %why, "closed the connection"),
        end => debug!(%id, why = %end, "disconnected"),
    }
    if !matches!(end, End::Disconnected) {
        publish_will(&uplink, will).await;
    }
    end
}

/// Returns when the time is over, if there is one.
async fn elapsed(time: Option<&mut Sleep<'_>>) {
    match time {
        Some(sleep) => sleep.await,
        None => std::future::pending().await,
    }
}

async fn publish_will(uplink: &Uplink, will: Option<Message>) {
    let Some(will) = will else { return };
    if let Err(why) = uplink.session.send_event(will).await {
        info!(id = %uplink.session.id(), %why, "will not published");
    }
}

/// A stream with what was read but not understood yet, and what is to be written.
struct Socket<S> {
    stream: S,
    input: BytesMut,
    output: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// Reads CONNECT, and answers it unless the client is let in.
    async fn connect(
        &mut self,
        shown: Option<CertificateChain>,
        directory: &Directory,
        line: &dyn Line,
        drain: impl Future<Output = ()>,
    ) -> Result<Admitted, End> {
        let first = async {
            loop {
                if let Some(packet) = frame::read(&mut self.input, limits::MQTT_CONNECT_BYTES)? {
                    return Ok::<_, End>(packet);
                }
                self.read().await?;
            }
        };
        let packet = tokio::select! {
            first = timeout(limits::MQTT_CONNECT_TIME, first) => {
                first.map_err(|_| End::Silent(limits::MQTT_CONNECT_TIME))??
            }
            () = drain => return Err(End::Drained),
        };
        let connect = match packet {
            Packet::Connect(connect) => *connect,
            Packet::UnsupportedVersion(level) => {
                match level {
                    5 => frame::write_connack_of_5(&mut self.output),
                    _ => self.refuse(ConnackCode::UnacceptableVersion),
                }
                let why = format!("MQTT level {level}, expected 4");
                directory.default_hub().note_refusal("mqtt", None, &why);
                return Err(End::Refused(why));
            }
            _ => return Err(Violation::NotConnect.into()),
        };
        match admit(connect, shown, directory, line).await {
            Ok(admitted) => Ok(admitted),
            Err(why) => {
                info!(%why, "refused a connection");
                directory.default_hub().note_refusal("mqtt", why.id(), &why);
                if matches!(why, ConnectRefusal::Hub { why: HubError::ConnectionLost(_), .. }) {
                    return Err(End::Lost);
                }
                self.refuse(why.code());
                Err(End::Refused(why.to_string()))
            }
        }
    }

    /// Keeps a connection that a fault broke, as a network would: until it fails, or for as long as
    /// a client may be silent.
    async fn outlast(&mut self, drain: impl Future<Output = ()>) -> End {
        tokio::select! {
            read = timeout(limits::MQTT_SILENCE, self.read()) => match read {
                Ok(Err(end)) => end,
                _ => End::Lost,
            },
            () = drain => End::Drained,
        }
    }

    fn refuse(&mut self, code: ConnackCode) {
        frame::write_connack(&mut self.output, code, false);
    }

    /// Reads what has come; safe to drop and call again.
    async fn read(&mut self) -> Result<(), End> {
        if !self.input.is_empty() {
            self.input.reserve(READ_BYTES);
        } else if self.input.capacity() != FIRST_READ_BYTES {
            self.input = BytesMut::with_capacity(FIRST_READ_BYTES);
        }
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(End::PeerClosed),
            _ => Ok(()),
        }
    }

    /// Writes what has been gathered; safe to drop and call again.
    async fn flush(&mut self) -> Result<(), End> {
        if self.output.is_empty() {
            return Ok(());
        }
        timeout(limits::MQTT_WRITE_TIME, self.write())
            .await
            .map_err(|_| End::Stalled(limits::MQTT_WRITE_TIME))??;
        // A connection that waits keeps nothing, however large its last answer was.
        self.output = BytesMut::new();
        Ok(())
    }

    /// What is written leaves `output` at once, so that nothing is written twice when a write
    /// that was given up is taken up again.
    async fn write(&mut self) -> io::Result<()> {
        while self.output.has_remaining() {
            if self.stream.write_buf(&mut self.output).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        self.stream.flush().await
    }

    async fn finish(&mut self) -> io::Result<()> {
        self.write().await?;
        self.stream.shutdown().await
    }
}

/// The exchange of packets with an admitted client.
struct Conversation<'a, S> {
    socket: &'a mut Socket<S>,
    uplink: &'a Uplink,
    receiver: iothub_core::session::DownlinkReceiver,
    inflight: Inflight,
    silence: Duration,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<'_, S> {
    /// Says that the client is let in, and serves it.
    async fn run(
        mut self,
        (resumed, fault): (bool, Option<AnswerFault>),
        drain: impl Future<Output = ()>,
    ) -> End {
        let expired = self.uplink.session.expired();
        let mut over = pin!(async {
            tokio::select! {
                () = expired => End::Expired,
                () = drain => End::Drained,
            }
        });
        if let Err(end) = self.accept(resumed, fault, over.as_mut()).await {
            return end;
        }
        let mut heard = Instant::now();
        let mut read = heard;
        // One timer that is looked at when it fires, not moved with every packet.
        let mut timer = pin!(sleep_until(heard + self.silence));
        // Clients keep alive by the machine's clock. One that a fault cut off cannot, and a test that
        // turns the hub's clock wants to see what comes of it.
        let mut cut_off = None;
        loop {
            match self.answer_all(over.as_mut()).await {
                Ok(0) => {}
                Ok(_) => heard = Instant::now(),
                Err(end) => return end,
            }
            if let Err(end) = self.flush(over.as_mut()).await {
                return end;
            }
            if cut_off.is_none() && self.uplink.line.is_silent() {
                let hub = &self.uplink.hub;
                cut_off = Some(hub.clock().sleep_until(hub.now().after(self.silence)));
            }
            let stalling = !self.socket.input.is_empty();
            let deadline = self.deadline(heard, stalling.then_some(read));
            if deadline < timer.deadline() {
                timer.as_mut().reset(deadline);
            }
            tokio::select! {
                result = self.socket.read() => {
                    if let Err(end) = result {
                        return end;
                    }
                    read = Instant::now();
                }
                downlink = self.receiver.next() => {
                    if let Err(end) = self.deliver(downlink, over.as_mut()).await {
                        return end;
                    }
                }
                () = timer.as_mut() => {
                    if Instant::now() >= deadline {
                        let silent = heard + self.silence <= deadline;
                        return if silent {
                            End::Silent(self.silence)
                        } else {
                            End::Stalled(limits::MQTT_STALL_TIME)
                        };
                    }
                    timer.as_mut().reset(deadline);
                }
                () = elapsed(cut_off.as_mut()) => return End::Silent(self.silence),
                end = over.as_mut() => return end,
            }
        }
    }

    /// Says that the client is let in, as far as a fault lets it be heard.
    async fn accept(
        &mut self,
        resumed: bool,
        fault: Option<AnswerFault>,
        over: Pin<&mut impl Future<Output = End>>,
    ) -> Result<(), End> {
        match fault {
            None => {}
            Some(AnswerFault::Lost) => return Ok(()),
            Some(AnswerFault::Corrupt) => {
                frame::write_corrupt_connack(&mut self.socket.output);
                return Ok(());
            }
            Some(AnswerFault::Late(span)) => tokio::select! {
                () = self.uplink.hub.wait(span) => {}
                reason = self.receiver.closed() => return Err(End::Closed(reason)),
                end = over => return Err(end),
            },
        }
        frame::write_connack(&mut self.socket.output, ConnackCode::Accepted, resumed);
        Ok(())
    }

    /// When the client has been silent, or has stalled inside a packet, for too long.
    fn deadline(&self, heard: Instant, stalled_since: Option<Instant>) -> Instant {
        let silent = heard + self.silence;
        stalled_since.map_or(silent, |since| silent.min(since + limits::MQTT_STALL_TIME))
    }

    /// Answers every packet that has come, and says how many there were.
    async fn answer_all(
        &mut self,
        mut over: Pin<&mut impl Future<Output = End>>,
    ) -> Result<usize, End> {
        let mut count = 0;
        while let Some(packet) = frame::read(&mut self.socket.input, limits::MQTT_PACKET_BYTES)? {
            let action = session::handle(packet, self.uplink.session.id())?;
            let Self { socket, inflight, .. } = self;
            match self.uplink.carry_out(action, inflight, &mut socket.output).await? {
                Flow::Continue => count += 1,
                Flow::Disconnect => return Err(End::Disconnected),
                Flow::Kill(asked) => return Err(self.killed(&asked, over).await),
            }
            if self.socket.output.len() > WRITE_BYTES {
                self.flush(over.as_mut()).await?;
            }
        }
        Ok(count)
    }

    /// Waits until a connection ends as a message asks for it, which the message is not
    /// acknowledged before, nor is anything that comes behind it.
    async fn killed(
        &mut self,
        asked: &FaultMessage,
        mut over: Pin<&mut impl Future<Output = End>>,
    ) -> End {
        if let Err(end) = self.flush(over.as_mut()).await {
            return end;
        }
        tokio::select! {
            () = self.uplink.kill(asked) => End::Killed,
            reason = self.receiver.closed() => End::Closed(reason),
            end = over => end,
        }
    }

    /// Writes what has been gathered. A client that takes nothing does not hold the end back.
    async fn flush(&mut self, over: Pin<&mut impl Future<Output = End>>) -> Result<(), End> {
        tokio::select! {
            biased;
            written = self.socket.flush() => written,
            reason = self.receiver.closed() => Err(End::Closed(reason)),
            end = over => Err(end),
        }
    }

    async fn deliver(
        &mut self,
        downlink: Downlink,
        over: Pin<&mut impl Future<Output = End>>,
    ) -> Result<(), End> {
        match downlink {
            Downlink::DesiredPatch(patch) => {
                write_desired_patch(&mut self.socket.output, &patch, self.uplink.layout());
                Ok(())
            }
            Downlink::Devicebound(delivery) => {
                let Some(delivery) = self.hand_over(delivery, over).await? else { return Ok(()) };
                let Self { socket, uplink, inflight, .. } = self;
                write_devicebound(&mut socket.output, &delivery, inflight, &uplink.session);
                Ok(())
            }
            Downlink::MethodCall(call) => {
                write_method_call(&mut self.socket.output, &call);
                Ok(())
            }
            Downlink::Close(reason) => Err(End::Closed(reason)),
        }
    }

    /// What arrives of a cloud-to-device message.
    async fn hand_over(
        &mut self,
        delivery: Delivery,
        over: Pin<&mut impl Future<Output = End>>,
    ) -> Result<Option<Delivery>, End> {
        let Uplink { hub, session, line, .. } = self.uplink;
        tokio::select! {
            biased;
            arrives = hub.hand_to_device(delivery, session.id(), Edge::Mqtt, &**line) => Ok(arrives),
            reason = self.receiver.closed() => Err(End::Closed(reason)),
            end = over => Err(end),
        }
    }
}
