//! What a role may do in a hub: a device through [`DeviceSession`], a back end through
//! [`ServiceSession`]. What a role may not do does not compile.

mod bulk;
mod configurations;
mod connections;
mod device;
mod devicebound;
mod digital_twins;
mod downlink;
mod job_run;
mod jobs;
mod mailbox;
mod methods;
mod metrics;
mod modules;
mod presence;
mod query;
mod request;
mod service;
mod subscriptions;
mod sweep;
mod transfer;

pub use bulk::{BulkResult, RenewedKeys};
pub use configurations::{ConfigurationView, MetricResults, QueryErrors};
pub use connections::Connection;
pub use device::{Connect, Connected, DeviceSession};
pub use downlink::{CloseReason, Downlink, DownlinkReceiver};
pub(crate) use job_run::run_jobs;
pub use jobs::{JobFilter, JobPage};
pub(crate) use metrics::check_metric;
pub use modules::ModuleView;
pub(crate) use presence::{ConnectionId, Presences};
pub use presence::{ConnectionState, Protocol};
pub use query::{QueryPage, QueryRows};
pub use request::DeviceRequest;
pub use service::{DeviceView, RegistryStatistics, ServiceSession, TwinView};
pub use subscriptions::{Assurance, Channel, Claim, Subscription, Subscriptions};
pub(crate) use sweep::keep_configured;
pub use transfer::TransferRun;
