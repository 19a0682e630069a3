//! Going through all twins when a configuration has changed, and now and then in case something
//! else has that conditions ask for, such as who is connected.

use std::sync::Arc;

use super::query::pause;
use crate::configuration::Configuration;
use crate::error::HubError;
use crate::hub::{Decision, Hub};
use crate::limits;
use crate::store::Record;

/// Keeps all twins as the configurations want them. Never returns; what fails is tried again.
pub(crate) async fn keep_configured(hub: &Hub) {
    loop {
        let left = sweep(hub).await;
        let changed = hub.configurations_changed().notified();
        if let Ok(Left::Nothing) = left {
            // Without configurations nothing can come to match one.
            changed.await;
            continue;
        }
        let again = hub.now().after(limits::CONFIGURATION_INTERVAL);
        tokio::select! {
            () = changed => {}
            () = hub.clock().tick_at(again) => {}
        }
    }
}

/// What a sweep leaves to look after.
enum Left {
    Nothing,
    Configurations,
}

async fn sweep(hub: &Hub) -> Result<Left, HubError> {
    let configurations = hub.configurations().all().await?;
    let records = hub.records().all().await?;
    for chunk in records.chunks(limits::SWEEP_CHUNK) {
        for record in chunk {
            configure(hub, record, &configurations).await?;
        }
        pause().await;
    }
    Ok(if configurations.is_empty() { Left::Nothing } else { Left::Configurations })
}

async fn configure(
    hub: &Hub,
    record: &Arc<Record>,
    configurations: &[Arc<Configuration>],
) -> Result<(), HubError> {
    if hub.reconfigured(record, configurations).is_none() {
        return Ok(());
    }
    // The hub lets the configurations have their say with each change, so with one of nothing.
    let unchanged =
        |record: &Record, _| Ok(Decision { record: record.clone(), effects: Vec::new() });
    match hub.change(&record.identity.id, unchanged).await {
        // It has been deleted meanwhile.
        Err(HubError::DeviceNotFound(_)) => Ok(()),
        other => other.map(drop),
    }
}
