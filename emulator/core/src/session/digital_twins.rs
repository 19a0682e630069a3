//! Digital twins, as a back end works with them.

use super::service::{ServiceSession, TwinView};
use crate::auth::policy::AccessRight;
use crate::digital_twin::{Operation, desired_patch};
use crate::error::HubError;
use crate::ids::{DeviceId, IdentityId, Precondition};
use crate::twin::{self, Dialect, SectionPatch, Twin, TwinPatch};

impl ServiceSession {
    /// Carries out the operations of a JSON patch on the digital twin of a device.
    ///
    /// # Errors
    ///
    /// The change breaks a rule of twins or of digital twins, the precondition does not hold, there
    /// is no such device, or the caller may not connect as a service.
    pub async fn patch_digital_twin(
        &self,
        device: &DeviceId,
        operations: &[Operation],
        dialect: Dialect,
        precondition: &Precondition,
    ) -> Result<TwinView, HubError> {
        self.require(AccessRight::ServiceConnect)?;
        let id = IdentityId::from(device.clone());
        let change = |twin: &Twin, now| {
            twin::check_version(&id, twin, precondition)?;
            let patch = SectionPatch::Merge(desired_patch(twin, operations)?);
            twin.patched(&TwinPatch { tags: None, desired: Some(patch) }, dialect, now)
        };
        let record = self.hub().change_twin(&id, change).await?;
        self.twin_view(&id, record)
    }
}
