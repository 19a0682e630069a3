"""Direct methods through azure-iot-hub and azure-iot-device: devices and modules, both sides."""

import json
import queue
import threading
import time

from azure.iot.device import IoTHubDeviceClient, IoTHubModuleClient, MethodResponse
from azure.iot.hub.models import CloudToDeviceMethod
from harness import HOST, Device, case, equal, eventually, main, registry, take
from msrest.exceptions import HttpOperationError


def echo(client):
    """Answers every call with what it got; gives what came."""
    calls = queue.Queue()

    def answer(request):
        calls.put(request)
        payload = {"name": request.name, "payload": request.payload}
        client.send_method_response(MethodResponse.create_from_method_request(request, 200, payload))

    client.on_method_request_received = answer
    return calls


def connected(device):
    client = IoTHubDeviceClient.create_from_connection_string(device.connection_string())
    client.connect()
    return client


def refused(status, number, name, call, *arguments):
    """Makes a call that must fail with this error, in the form of direct methods."""
    try:
        outcome = call(*arguments)
    except HttpOperationError as error:
        response = error.response
        equal(response.status_code, status, "status")
        equal(response.headers.get("iothub-errorcode"), name, "header iothub-errorcode")
        inner = json.loads(response.json()["Message"])
        equal(inner["errorCode"], number, "errorCode")
        return inner
    raise AssertionError("answered {!r}, expected {}".format(outcome, name))


@case
def a_device_answers_a_call():
    device = Device()
    client = connected(device)
    calls = echo(client)
    for payload in ({"a": [1, {"b": None}]}, "text", 7, [1, 2], True):
        method = CloudToDeviceMethod(
            method_name="lockDoor", payload=payload, response_timeout_in_seconds=30
        )
        result = registry().invoke_device_method(device.id, method)
        equal(result.status, 200, "status")
        equal(result.payload, {"name": "lockDoor", "payload": payload}, "payload")
        equal(take(calls, "the call").name, "lockDoor", "name")
    client.shutdown()


@case
def a_call_without_payload_and_an_answer_without_one():
    device = Device()
    client = connected(device)

    def answer(request):
        assert not request.payload, request.payload
        client.send_method_response(MethodResponse(request.request_id, 404, None))

    client.on_method_request_received = answer
    result = registry().invoke_device_method(device.id, CloudToDeviceMethod(method_name="m"))
    equal((result.status, result.payload), (404, None), "result")
    client.shutdown()


@case
def a_device_that_is_not_there_is_not_online():
    device = Device()
    method = CloudToDeviceMethod(method_name="m")
    call = registry().invoke_device_method
    inner = refused(404, 404103, "DeviceNotOnline", call, device.id, method)
    equal(inner["info"], {"timeout": "00:00:00"}, "info")
    client = connected(device)
    refused(404, 404103, "DeviceNotOnline", call, device.id, method)
    client.shutdown()


@case
def a_caller_may_wait_for_the_device():
    device = Device()
    method = CloudToDeviceMethod(
        method_name="m", connect_timeout_in_seconds=100, response_timeout_in_seconds=60
    )
    results = queue.Queue()
    caller = threading.Thread(
        target=lambda: results.put(registry().invoke_device_method(device.id, method))
    )
    caller.start()
    time.sleep(0.3)
    client = connected(device)
    echo(client)
    equal(take(results, "the result").status, 200, "status")
    client.shutdown()


@case
def a_device_that_does_not_answer_times_out():
    device = Device()
    client = connected(device)
    requests = queue.Queue()
    client.on_method_request_received = requests.put
    method = CloudToDeviceMethod(method_name="m", response_timeout_in_seconds=5)
    call = registry().invoke_device_method
    refused(504, 504101, "GatewayTimeout", call, device.id, method)
    # The late answer is dropped, and the next call gets its own.
    late = take(requests, "the call")
    client.send_method_response(MethodResponse.create_from_method_request(late, 500, "late"))
    echo(client)
    result = call(device.id, CloudToDeviceMethod(method_name="m"))
    equal(result.status, 200, "status")
    client.shutdown()


@case
def calls_go_on_after_a_connection_was_cut():
    device = Device()
    client = connected(device)
    calls = echo(client)
    client.disconnect()
    eventually(lambda: device.twin().connection_state == "Disconnected", "the disconnect")
    client.connect()
    method = CloudToDeviceMethod(method_name="again", connect_timeout_in_seconds=100)
    equal(registry().invoke_device_method(device.id, method).status, 200, "status")
    equal(take(calls, "the call").name, "again", "name")
    client.shutdown()


@case
def a_module_answers_a_call():
    device = Device()
    registry().create_module_with_sas(device.id, "m1", "", device.primary, device.secondary)
    text = "HostName={};DeviceId={};ModuleId=m1;SharedAccessKey={}".format(
        HOST, device.id, device.primary
    )
    client = IoTHubModuleClient.create_from_connection_string(text)
    client.connect()
    echo(client)
    method = CloudToDeviceMethod(method_name="m", payload=1)
    result = registry().invoke_device_module_method(device.id, "m1", method)
    equal((result.status, result.payload), (200, {"name": "m", "payload": 1}), "result")
    # The device itself does not listen.
    call = registry().invoke_device_method
    refused(404, 404103, "DeviceNotOnline", call, device.id, method)
    client.shutdown()


main()
