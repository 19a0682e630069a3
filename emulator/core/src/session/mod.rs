//! What a role may do in a hub: a device through [`DeviceSession`], a back end through
//! [`ServiceSession`]. What a role may not do does not compile.

mod configurations;
mod device;
mod downlink;
mod job_run;
mod jobs;
mod methods;
mod metrics;
mod modules;
mod presence;
mod query;
mod service;
mod subscriptions;
mod sweep;

pub use configurations::{ConfigurationView, MetricResults, QueryErrors};
pub use device::{Connect, Connected, DeviceSession};
pub use downlink::{CloseReason, Downlink, DownlinkReceiver};
pub(crate) use job_run::run_jobs;
pub use jobs::{JobFilter, JobPage};
pub use modules::ModuleView;
pub use presence::ConnectionState;
pub(crate) use presence::Presences;
pub use query::{QueryPage, QueryRows};
pub use service::{DeviceView, RegistryStatistics, ServiceSession, TwinView};
pub use subscriptions::{Assurance, Channel, Subscriptions};
pub(crate) use sweep::keep_configured;
