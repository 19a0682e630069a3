//! What a role may do in a hub: a device through [`DeviceSession`], a back end through
//! [`ServiceSession`]. What a role may not do does not compile.

mod device;
mod digital_twins;
mod downlink;
mod methods;
mod modules;
mod presence;
mod query;
mod service;
mod subscriptions;

pub use device::{Connect, Connected, DeviceSession};
pub use downlink::{CloseReason, Downlink, DownlinkReceiver};
pub use modules::ModuleView;
pub use presence::ConnectionState;
pub(crate) use presence::Presences;
pub use query::{QueryPage, QueryRows};
pub use service::{DeviceView, RegistryStatistics, ServiceSession, TwinView};
pub use subscriptions::{Assurance, Channel, Subscriptions};
