"""Modules through azure-iot-hub and azure-iot-device: identities, twins, connections, outputs."""

import queue
import uuid

from azure.iot.device import IoTHubModuleClient, Message
from azure.iot.device.exceptions import ConnectionFailedError, CredentialError
from azure.iot.hub.models import Twin, TwinProperties
from harness import (
    HOST, Device, case, equal, eventually, key, main, plain, refused, registry, take,
)
from msrest.exceptions import HttpOperationError


class Module:
    """A module that was created for one case, on a device of its own."""

    def __init__(self):
        self.device = Device()
        self.id = "py-" + uuid.uuid4().hex[:12]
        create = registry().create_module_with_sas
        self.identity = create(self.device.id, self.id, "me", key(5), key(6))

    def client(self, module_key=None):
        """A client that gives up at the first failure."""
        text = "HostName={};DeviceId={};ModuleId={};SharedAccessKey={}".format(
            HOST, self.device.id, self.id, module_key or key(5)
        )
        return IoTHubModuleClient.create_from_connection_string(text, connection_retry=False)

    def twin(self):
        """The twin as the back end sees it now."""
        return registry().get_module_twin(self.device.id, self.id)


@case
def a_new_module_is_as_it_was_asked_for():
    module = Module()
    for identity in (module.identity, registry().get_module(module.device.id, module.id)):
        equal(identity.module_id, module.id, "moduleId")
        equal(identity.device_id, module.device.id, "deviceId")
        equal(identity.managed_by, "me", "managedBy")
        equal(identity.authentication.symmetric_key.primary_key, key(5), "primary key")
        equal(identity.connection_state, "Disconnected", "connectionState")
    names = [one.module_id for one in registry().get_modules(module.device.id)]
    equal(names, [module.id], "modules of the device")


@case
def a_module_is_created_once():
    module = Module()
    create = registry().create_module_with_sas
    try:
        create(module.device.id, module.id, "me", key(5), key(6))
    except HttpOperationError as error:
        equal(error.response.status_code, 409, "status")
        equal(error.response.json()["errorCode"], 409301, "errorCode")
        return
    raise AssertionError("created twice")


@case
def an_update_needs_the_present_etag():
    module = Module()
    change = lambda etag: registry().update_module_with_sas(
        module.device.id, module.id, "you", etag, key(5), key(7)
    )
    first = change(module.identity.etag)
    equal(first.managed_by, "you", "managedBy")
    equal(first.authentication.symmetric_key.secondary_key, key(7), "secondary key")
    refused(412, "PreconditionFailed", change, module.identity.etag)
    registry().delete_module(module.device.id, module.id, first.etag)
    refused(404, "ModuleNotFound", registry().get_module, module.device.id, module.id)
    refused(404, "DeviceNotFound", registry().get_module, "py-missing", module.id)


@case
def a_twin_is_shared_by_module_and_back_end():
    module = Module()
    client = module.client()
    client.connect()
    desired = queue.Queue()
    client.on_twin_desired_properties_patch_received = desired.put
    equal(client.get_twin(), {"desired": {"$version": 1}, "reported": {"$version": 1}}, "twin")
    client.patch_twin_reported_properties({"rate": 5})
    equal(plain(module.twin().properties.reported), {"rate": 5}, "reported")
    patch = Twin(tags={"site": "a"}, properties=TwinProperties(desired={"rate": 7}))
    registry().update_module_twin(module.device.id, module.id, patch, module.twin().etag)
    equal(take(desired, "desired properties"), {"rate": 7, "$version": 2}, "patch")
    whole = Twin(properties=TwinProperties(desired={"unit": "s"}))
    replaced = registry().replace_module_twin(module.device.id, module.id, whole)
    equal(plain(replaced.properties.desired), {"unit": "s"}, "desired")
    equal(module.twin().connection_state, "Connected", "connectionState")
    # the device has a twin of its own
    equal(plain(module.device.twin().properties.desired), {}, "desired of the device")
    client.shutdown()


@case
def outputs_are_taken_and_inputs_can_be_waited_for():
    module = Module()
    client = module.client()
    client.connect()
    client.on_message_received = print
    client.send_message_to_output(Message("hot", message_id="1"), "alerts")
    client.send_message("plain")
    state = lambda: registry().get_module(module.device.id, module.id).last_activity_time.year
    eventually(lambda: state() > 1, "activity of the module")
    client.shutdown()


@case
def a_wrong_key_and_a_disabled_device_keep_a_module_out():
    module = Module()
    for kind, client in ((CredentialError, module.client(key(9))), (None, module.client())):
        try:
            client.connect()
            equal(kind, None, "connected, expected")
        except CredentialError:
            equal(kind, CredentialError, "failure")
        client.shutdown()
    device = module.device
    registry().update_device_with_sas(device.id, None, device.primary, device.secondary, "disabled")
    client = module.client()
    try:
        client.connect()
    except (ConnectionFailedError, CredentialError):
        client.shutdown()
        return
    raise AssertionError("connected, although its device is disabled")


@case
def a_deleted_device_takes_its_modules_along():
    module = Module()
    client = module.client()
    client.connect()
    registry().delete_device(module.device.id)
    eventually(lambda: not client.connected, "end of the connection")
    refused(404, "DeviceNotFound", registry().get_modules, module.device.id)
    client.shutdown()


main()
