//! The one task of a connection: it moves bytes, and carries out what frames ask for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::{AbortHandle, Abortable};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use iothub_core::auth::x509::CertificateChain;
use iothub_core::directory::Directory;
use iothub_core::fault::AnswerFault;
use iothub_core::fault::line::Line;
use iothub_core::hub::Hub;
use iothub_core::ids::IdentityId;
use iothub_core::limits;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info};

use crate::devices::Attached;
use crate::error::{AmqpError, FORCED, NOT_ALLOWED, RESOURCE_LIMIT};
use crate::grants::Grants;
use crate::handshake::shake;
use crate::kill;
use crate::link::Session;
use crate::outgoing::{Arrived, Awaited};
use crate::performative::{Open, Performative, write_frame};
use crate::socket::{Frame, Socket};
use crate::value::Value;

pub(crate) const AMQP_FRAME: u8 = 0;
const OPEN: u64 = 0x10;
const CLOSE: u64 = 0x18;
/// How much is gathered before it is written.
const WRITE_BYTES: usize = 64 * 1024;
/// How long saying goodbye may take.
const GOODBYE_TIME: Duration = Duration::from_secs(1);
/// The smallest frame that a client may ask for.
const SMALLEST_FRAME: u32 = 512;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// The client closed it as AMQP wants it.
    #[error("client closed the connection")]
    Closed,
    /// The client's socket closed.
    #[error("client went away")]
    PeerClosed,
    /// The client does not speak AMQP 1.0.
    #[error("protocol header is {0:02x?}, expected AMQP 0 1.0.0 or AMQP 3 1.0.0")]
    Protocol([u8; 8]),
    /// The client was refused.
    #[error("refused: {0}")]
    Refused(String),
    /// The client broke a rule, and was told.
    #[error("{condition}: {description}")]
    Violation {
        /// The condition that it was told.
        condition: &'static str,
        /// What was wrong.
        description: String,
    },
    /// The client was silent for too long.
    #[error("nothing came for {0:?}")]
    Silent(Duration),
    /// The client took nothing of what it was sent.
    #[error("client stalled for {0:?}")]
    Stalled(Duration),
    /// The hub ends its connections, for this reason.
    #[error("{0}")]
    Drained(String),
    /// A message asked for its end, with these words or without a word.
    #[error("ended as a message wanted it")]
    Killed(Option<Farewell>),
    /// The socket failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// How a connection is closed that a message wanted to end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Farewell {
    /// With an error.
    Forced,
    /// Without one.
    Graceful,
}

impl From<AmqpError> for End {
    fn from(error: AmqpError) -> Self {
        Self::Violation { condition: error.condition, description: error.description }
    }
}

/// Serves one client until the connection ends; `drain` ends it from outside and says why. `shown` are the
/// certificates whose key the client proved to have, and `line` breaks the connection below.
pub async fn serve<S>(
    stream: S,
    shown: Option<CertificateChain>,
    directory: &Directory,
    line: Arc<dyn Line>,
    drain: impl Future<Output = impl fmt::Display>,
) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut socket = Socket::new(stream);
    let mut drain = pin!(async { drain.await.to_string() });
    let grants = Grants::new(shown);
    let begun = tokio::select! {
        begun = timeout(limits::AMQP_OPEN_TIME, begin(&mut socket, directory, grants, line)) => {
            begun.unwrap_or(Err(End::Silent(limits::AMQP_OPEN_TIME)))
        }
        why = drain.as_mut() => Err(End::Drained(why)),
    };
    let end = match begun {
        Ok((mut conversation, idle)) => {
            let end = run(&mut socket, &mut conversation, idle, drain).await;
            conversation.ends(&end);
            end
        }
        Err(end) => {
            if let End::Refused(why) = &end {
                directory.default_hub().note_refusal("amqp", None, why);
            }
            end
        }
    };
    goodbye(&mut socket.output, &end);
    // The client may be gone already; what is left to say is a courtesy.
    let _goodbye = timeout(GOODBYE_TIME, socket.finish()).await;
    match &end {
        End::Violation { .. } | End::Refused(_) => info!(why = %end, "closed an AMQP connection"),
        end => debug!(why = %end, "AMQP connection ended"),
    }
    end
}

/// Everything up to the client's open, which is answered.
async fn begin<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut Socket<S>,
    directory: &Directory,
    mut grants: Grants,
    line: Arc<dyn Line>,
) -> Result<(Conversation, Option<Duration>), End> {
    shake(socket, directory, &mut grants).await?;
    socket.flush().await?;
    let Some(Performative::Open(open)) = socket.next_frame().await?.performative else {
        return Err(AmqpError::new(NOT_ALLOWED, "first frame is no open").into());
    };
    let host = open.hostname.clone().unwrap_or_default();
    let hub = directory.find(&host).map_err(|why| End::Refused(why.to_string()))?.clone();
    write_open(&mut socket.output, &hub, &host);
    let idle = open.idle.map(|idle| Duration::from_millis(idle.into()) / 2);
    Ok((Conversation::new(hub, host, grants, line, &open), idle))
}

fn write_open(out: &mut BytesMut, hub: &Hub, host: &str) {
    let container = format!("DeviceGateway_{}", hub.random().guid().replace('-', ""));
    let idle = u32::try_from(limits::AMQP_IDLE_TIME.as_millis()).unwrap_or(u32::MAX);
    let fields = vec![
        Value::string(container),
        Value::string(host),
        Value::Uint(u32::try_from(limits::AMQP_FRAME_BYTES).unwrap_or(u32::MAX)),
        Value::Ushort(8191),
        Value::Uint(idle),
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Null,
        Value::symbols(vec![("product", Value::string("iothub-emulator"))]),
    ];
    write_frame(out, AMQP_FRAME, 0, (OPEN, fields), &[]);
}

fn goodbye(out: &mut BytesMut, end: &End) {
    let error = match end {
        End::Violation { condition, description } => {
            AmqpError::new(condition, description.clone()).to_value()
        }
        End::Drained(why) => AmqpError::new(FORCED, why.clone()).to_value(),
        End::Silent(_) => AmqpError::new(RESOURCE_LIMIT, end.to_string()).to_value(),
        End::Killed(Some(Farewell::Forced)) => kill::error(FORCED).to_value(),
        End::Closed | End::Killed(Some(Farewell::Graceful)) => Value::Null,
        _ => return,
    };
    write_frame(out, AMQP_FRAME, 0, (CLOSE, vec![error]), &[]);
}

async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut Socket<S>,
    conversation: &mut Conversation,
    idle: Option<Duration>,
    mut drain: std::pin::Pin<&mut impl Future<Output = String>>,
) -> End {
    let mut heard = Instant::now();
    let mut said = heard;
    // One timer that is looked at when it fires, not moved with every frame.
    let mut timer = pin!(sleep_until(heard));
    loop {
        if let Some(end) = conversation.over.take() {
            return end;
        }
        match answer_all(socket, conversation).await {
            Ok(true) => heard = Instant::now(),
            Ok(false) => {}
            Err(end) => return end,
        }
        if !socket.output.is_empty() {
            said = Instant::now();
        }
        let written = tokio::select! {
            biased;
            written = socket.flush() => written,
            why = drain.as_mut() => Err(End::Drained(why)),
        };
        if let Err(end) = written {
            return end;
        }
        // A client may be silent for twice what it was told, as the specification advises.
        let silent = heard + limits::AMQP_IDLE_TIME * 2;
        let keep_alive = idle.map(|idle| said + idle);
        tokio::select! {
            read = socket.read() => if let Err(end) = read {
                return end;
            },
            Some(arrived) = conversation.awaited.next(), if !conversation.awaited.is_empty() => {
                if let Ok(arrived) = arrived {
                    conversation.arrived(arrived, &mut socket.output).await;
                }
                conversation.arrived_by_now(&mut socket.output).await;
            }
            () = timer.as_mut() => {
                let now = Instant::now();
                if now >= silent {
                    return End::Silent(limits::AMQP_IDLE_TIME * 2);
                }
                if keep_alive.is_some_and(|at| now >= at) {
                    socket.output.extend_from_slice(&[0, 0, 0, 8, 2, AMQP_FRAME, 0, 0]);
                    said = now;
                }
                let next = idle.map_or(silent, |idle| silent.min(said + idle));
                timer.as_mut().reset(next);
            }
            why = drain.as_mut() => return End::Drained(why),
        }
    }
}

/// Answers every frame that has come, and says whether there was one.
async fn answer_all<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut Socket<S>,
    conversation: &mut Conversation,
) -> Result<bool, End> {
    let mut any = false;
    while let Some(Frame { channel, performative }) = socket.frame()? {
        any = true;
        if let Some(performative) = performative {
            conversation.frame(channel, performative, &mut socket.output).await?;
        }
        if socket.output.len() > WRITE_BYTES {
            socket.flush().await?;
        }
    }
    Ok(any)
}

/// The state of an open connection.
pub(crate) struct Conversation {
    pub(crate) hub: Hub,
    /// The name by which the client knows the hub.
    pub(crate) host: String,
    pub(crate) grants: Grants,
    /// What breaks the connection below.
    pub(crate) line: Arc<dyn Line>,
    /// The largest frame that the client takes.
    pub(crate) max_frame: usize,
    pub(crate) sessions: BTreeMap<u16, Session>,
    /// The channels of sessions that the hub ended and the client has not yet.
    pub(crate) ended: BTreeSet<u16>,
    pub(crate) devices: HashMap<IdentityId, Attached>,
    pub(crate) awaited: FuturesUnordered<Abortable<Awaited>>,
    pub(crate) last_number: u64,
    /// What happens to the answer to what the client sent last.
    pub(crate) answer_fault: Option<AnswerFault>,
    /// How it ends, once that is settled.
    pub(crate) over: Option<End>,
    /// Ends the wait for the next token to end.
    expiry: Option<AbortHandle>,
}

impl Conversation {
    fn new(hub: Hub, host: String, grants: Grants, line: Arc<dyn Line>, open: &Open) -> Self {
        let max_frame = usize::try_from(open.max_frame.max(SMALLEST_FRAME)).unwrap_or(usize::MAX);
        let mut conversation = Self {
            hub,
            host,
            grants,
            line,
            max_frame: max_frame.min(limits::AMQP_FRAME_BYTES),
            sessions: BTreeMap::new(),
            ended: BTreeSet::new(),
            devices: HashMap::new(),
            awaited: FuturesUnordered::new(),
            last_number: 0,
            answer_fault: None,
            over: None,
            expiry: None,
        };
        // Who came with SASL PLAIN has put a token already.
        conversation.await_expiry();
        conversation
    }

    fn ends(&self, end: &End) {
        for device in self.devices.values() {
            device.session.ends(end);
        }
    }

    /// Awaits something for a link or a device, until it is aborted.
    pub(crate) fn wait_for(
        &mut self,
        future: impl Future<Output = Arrived> + Send + 'static,
    ) -> AbortHandle {
        let (handle, registration) = AbortHandle::new_pair();
        let future: Awaited = Box::pin(future);
        self.awaited.push(Abortable::new(future, registration));
        handle
    }

    /// Wakes when the next token ends.
    pub(crate) fn await_expiry(&mut self) {
        if let Some(before) = self.expiry.take() {
            before.abort();
        }
        let Some(end) = self.grants.next_end(self.hub.now()) else { return };
        let hub = self.hub.clone();
        let expiry = async move {
            hub.clock().sleep_until(end).await;
            Arrived::Expiry
        };
        self.expiry = Some(self.wait_for(expiry));
    }

    /// What is there already, without waiting, until there is enough to be written.
    pub(crate) async fn arrived_by_now(&mut self, out: &mut BytesMut) {
        while out.len() <= WRITE_BYTES
            && let Some(Some(arrived)) = self.awaited.next().now_or_never()
        {
            if let Ok(arrived) = arrived {
                self.arrived(arrived, out).await;
            }
        }
    }
}
