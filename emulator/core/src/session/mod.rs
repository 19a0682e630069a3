//! What a role may do in a hub: a device through [`DeviceSession`], a back end through
//! [`ServiceSession`]. What a role may not do does not compile.

mod bulk;
mod device;
mod devicebound;
mod downlink;
mod mailbox;
mod modules;
mod presence;
mod query;
mod request;
mod service;
mod subscriptions;
mod transfer;

pub use bulk::{BulkResult, RenewedKeys};
pub use device::{Connect, Connected, DeviceSession};
pub use downlink::{CloseReason, Downlink, DownlinkReceiver};
pub use modules::ModuleView;
pub use presence::ConnectionState;
pub(crate) use presence::{ConnectionId, Presences};
pub use query::{QueryPage, QueryRows};
pub use request::DeviceRequest;
pub use service::{DeviceView, RegistryStatistics, ServiceSession, TwinView};
pub use subscriptions::{Assurance, Channel, Subscription, Subscriptions};
pub use transfer::TransferRun;
