"""Bulk operations, and import and export jobs, through azure-iot-hub."""

import uuid

from azure.iot.hub import IoTHubJobManager
from azure.iot.hub.models import (
    AuthenticationMechanism, DeviceCapabilities, ExportImportDevice, JobProperties,
    PropertyContainer, SymmetricKey,
)
from harness import (
    CONNECTION_STRING, Device, case, equal, eventually, key, main, plain, refused, registry,
)


def name():
    return "py-" + uuid.uuid4().hex[:12]


def bulk(*items):
    return registry().bulk_create_or_update_devices(list(items))


@case
def devices_come_and_go_in_bulk():
    one, two = name(), name()
    keys = SymmetricKey(primary_key=key(1), secondary_key=key(2))
    sas = AuthenticationMechanism(type="sas", symmetric_key=keys)
    edge = DeviceCapabilities(iot_edge=True)
    result = bulk(
        ExportImportDevice(id=one, import_mode="create", status="disabled", authentication=sas),
        ExportImportDevice(id=two, import_mode="create", capabilities=edge),
        ExportImportDevice(id=one, module_id="m", import_mode="create"),
    )
    equal((result.is_successful, result.errors, result.warnings), (True, [], []), "result")
    made = registry().get_device(one)
    equal(made.status, "disabled", "status")
    equal(made.authentication.symmetric_key.primary_key, key(1), "primary key")
    equal(len(registry().get_modules(two)), 2, "system modules")
    equal(registry().get_module(one, "m").module_id, "m", "moduleId")
    mode = "updateIfMatchETag"
    change = ExportImportDevice(id=one, import_mode=mode, e_tag=made.etag, status="enabled")
    equal(bulk(change).is_successful, True, "isSuccessful")
    equal(bulk(change).errors[0].error_code, "PreconditionFailed", "errorCode")
    result = bulk(*(ExportImportDevice(id=id, import_mode="delete") for id in (one, two)))
    equal(result.is_successful, True, "isSuccessful")
    refused(404, "DeviceNotFound", registry().get_device, one)


@case
def items_succeed_and_fail_independently():
    old, new = Device(), name()
    result = bulk(
        ExportImportDevice(id=old.id, import_mode="create"),
        ExportImportDevice(id=new, import_mode="create"),
    )
    equal(result.is_successful, False, "isSuccessful")
    [error] = result.errors
    equal(error.device_id, old.id, "deviceId")
    equal(error.error_code, "DeviceAlreadyExists", "errorCode")
    registry().get_device(new)


@case
def twins_come_along():
    id = name()
    content = PropertyContainer(desired={"rate": 5})
    item = ExportImportDevice(id=id, import_mode="create", tags={"site": "a"}, properties=content)
    equal(bulk(item).is_successful, True, "isSuccessful")
    twin = registry().get_twin(id)
    equal((twin.tags, plain(twin.properties.desired)), ({"site": "a"}, {"rate": 5}), "twin")
    change = PropertyContainer(desired={"unit": "s"})
    bulk(ExportImportDevice(id=id, import_mode="updateTwin", properties=change))
    twin = registry().get_twin(id)
    equal(plain(twin.properties.desired), {"rate": 5, "unit": "s"}, "desired")


@case
def a_request_has_a_hundred_items_at_most():
    items = [ExportImportDevice(id=name(), import_mode="create") for _ in range(101)]
    refused(413, "TooManyDevices", bulk, *items)
    equal(bulk(*items[:100]).is_successful, True, "isSuccessful")


@case
def the_registry_is_exported_and_imported():
    jobs = IoTHubJobManager.from_connection_string(CONNECTION_STRING)
    container = "https://account.blob.core.windows.net/python?sig=none"

    def run(properties):
        id = jobs.create_import_export_job(properties).job_id
        ended = lambda: jobs.get_import_export_job(id).status not in ("enqueued", "running")
        eventually(ended, "end of the job")
        job = jobs.get_import_export_job(id)
        equal((job.status, job.progress, job.failure_reason), ("completed", 100, None), "job")
        assert job.end_time_utc >= job.start_time_utc, job
        return id

    device = Device()
    exported = run(JobProperties(type="export", output_blob_container_uri=container))
    registry().delete_device(device.id)
    imported = run(
        JobProperties(
            type="import",
            input_blob_container_uri=container,
            output_blob_container_uri=container,
        )
    )
    again = registry().get_device(device.id)
    equal(again.authentication.symmetric_key.primary_key, device.primary, "primary key")
    listed = [job.job_id for job in jobs.get_import_export_jobs()]
    equal(listed, [exported, imported], "jobs")
    jobs.cancel_import_export_job(exported)
    equal(jobs.get_import_export_job(exported).status, "completed", "status")
    refused(404, "JobNotFound", jobs.get_import_export_job, "none")


main()
