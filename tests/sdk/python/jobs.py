"""Jobs through azure-iot-hub: twin updates, methods, the future, cancelling, results per device."""

from datetime import datetime, timedelta, timezone

from azure.iot.device import IoTHubDeviceClient, MethodResponse
from azure.iot.hub import IoTHubJobManager
from azure.iot.hub.models import CloudToDeviceMethod, QuerySpecification, Twin, TwinProperties
from azure.iot.hub.protocol.models import JobRequest
from harness import CONNECTION_STRING, Device, case, equal, eventually, main, refused, registry

manager = IoTHubJobManager.from_connection_string(CONNECTION_STRING)


def update(name, condition, **members):
    return JobRequest(
        job_id=name,
        type="scheduleUpdateTwin",
        query_condition=condition,
        update_twin=Twin(etag="*", properties=TwinProperties(desired={"floor": 3})),
        max_execution_time_in_seconds=60,
        **members,
    )


def ended(name):
    eventually(lambda: manager.get_scheduled_job(name).status == "completed", "the end of " + name)
    return manager.get_scheduled_job(name)


@case
def a_job_updates_twins():
    devices = [Device(), Device()]
    names = ", ".join("'{}'".format(device.id) for device in devices)
    made = manager.create_scheduled_job("py-update", update("py-update", "deviceId IN [" + names + "]"))
    equal((made.job_id, made.type), ("py-update", "scheduleUpdateTwin"), "created")
    counts = ended("py-update").device_job_statistics
    equal((counts.device_count, counts.succeeded_count, counts.failed_count), (2, 2, 0), "counts")
    for device in devices:
        equal(device.twin().properties.desired["floor"], 3, "floor")
    rows = registry().query_iot_hub(
        QuerySpecification(query="SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'py-update'")
    )
    equal(len(rows.items), 2, "rows")
    refused(409, "JobAlreadyExists", manager.create_scheduled_job, "py-update", update("py-update", "*"))
    refused(404, "JobNotFound", manager.get_scheduled_job, "py-none")


@case
def a_job_in_the_future_is_cancelled():
    start = (datetime.now(timezone.utc) + timedelta(days=1)).isoformat()
    made = manager.create_scheduled_job("py-later", update("py-later", "*", start_time=start))
    equal(made.status, "scheduled", "status")
    equal(manager.cancel_scheduled_job("py-later").status, "cancelled", "status")
    refused(
        405, "OperationNotAllowedInCurrentState", manager.cancel_scheduled_job, "py-later"
    )


@case
def a_job_calls_a_device():
    device = Device()
    client = IoTHubDeviceClient.create_from_connection_string(device.connection_string())
    client.connect()

    def answer(request):
        client.send_method_response(MethodResponse.create_from_method_request(request, 200, {"ok": 1}))

    client.on_method_request_received = answer
    request = JobRequest(
        job_id="py-method",
        type="scheduleDeviceMethod",
        query_condition="deviceId = '{}'".format(device.id),
        cloud_to_device_method=CloudToDeviceMethod(
            method_name="reboot", payload={"delay": 1}, response_timeout_in_seconds=60
        ),
        max_execution_time_in_seconds=60,
    )
    manager.create_scheduled_job("py-method", request)
    counts = ended("py-method").device_job_statistics
    equal((counts.succeeded_count, counts.failed_count), (1, 0), "counts")
    client.shutdown()


main()
