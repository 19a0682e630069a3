"""Digital twins through azure-iot-hub, and a Plug and Play device through azure-iot-device."""

import queue

from azure.iot.device import IoTHubDeviceClient, MethodResponse
from azure.iot.hub import DigitalTwinClient
from harness import CONNECTION_STRING, Device, case, equal, main, take
from msrest.exceptions import HttpOperationError

MODEL = "dtmi:com:example:TemperatureController;1"


def service():
    return DigitalTwinClient.from_connection_string(CONNECTION_STRING)


def connected(device):
    client = IoTHubDeviceClient.create_from_connection_string(
        device.connection_string(), product_info=MODEL
    )
    client.connect()
    return client


@case
def the_model_shows_in_both_twins():
    device = Device()
    client = connected(device)
    twin = service().get_digital_twin(device.id)
    equal(twin["$dtId"], device.id, "$dtId")
    equal(twin["$metadata"]["$model"], MODEL, "$model")
    equal(device.twin().additional_properties.get("modelId"), MODEL, "modelId")
    client.shutdown()


@case
def a_property_is_desired_acknowledged_and_shown():
    device = Device()
    client = connected(device)
    patches = queue.Queue()
    client.on_twin_desired_properties_patch_received = patches.put
    client.patch_twin_reported_properties({"thermostat1": {"__t": "c", "max": 25.3}})
    operations = [{"op": "add", "path": "/thermostat1/target", "value": 21.4}]
    service().update_digital_twin(device.id, operations)
    patch = take(patches, "the patch")
    equal(patch["thermostat1"], {"__t": "c", "target": 21.4}, "patch")
    acknowledgement = {"value": 21.4, "ac": 200, "av": patch["$version"], "ad": "done"}
    client.patch_twin_reported_properties(
        {"thermostat1": {"__t": "c", "target": acknowledgement}}
    )
    component = service().get_digital_twin(device.id)["thermostat1"]
    equal((component["max"], component["target"]), (25.3, 21.4), "values")
    about = component["$metadata"]["target"]
    equal((about["desiredValue"], about["ackCode"]), (21.4, 200), "metadata")
    client.shutdown()


@case
def a_component_is_replaced_and_removed():
    device = Device()
    component = {"a": 1, "$metadata": {}}
    service().update_digital_twin(
        device.id, [{"op": "add", "path": "/c1", "value": {"a": 1, "b": 2, "$metadata": {}}}]
    )
    service().update_digital_twin(device.id, [{"op": "replace", "path": "/c1", "value": component}])
    desired = device.twin().properties.desired
    equal(desired["c1"], {"a": 1, "__t": "c"}, "c1")
    service().update_digital_twin(device.id, [{"op": "remove", "path": "/c1"}])
    assert "c1" not in device.twin().properties.desired


@case
def commands_of_the_root_and_of_components_are_methods():
    device = Device()
    client = connected(device)

    def answer(request):
        payload = {"name": request.name, "payload": request.payload}
        client.send_method_response(MethodResponse.create_from_method_request(request, 200, payload))

    client.on_method_request_received = answer
    result = service().invoke_command(device.id, "reboot", 5, 10, 10)
    equal(result, {"name": "reboot", "payload": 5}, "result")
    result = service().invoke_component_command(device.id, "t1", "getMax", {"since": 1}, 10, 10)
    equal(result, {"name": "t1*getMax", "payload": {"since": 1}}, "result")
    client.shutdown()


@case
def a_device_that_is_not_there_is_not_online():
    device = Device()
    try:
        service().invoke_command(device.id, "reboot", 5)
    except HttpOperationError as error:
        equal(error.response.status_code, 404, "status")
        equal(error.response.headers["iothub-errorcode"], "DeviceNotOnline", "error code")
    else:
        raise AssertionError("a device that is not connected answered")


main()
