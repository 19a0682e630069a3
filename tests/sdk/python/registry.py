"""The identity registry through azure-iot-hub: create, read, update, list, delete, statistics,
and which identity may connect."""

import base64

from azure.iot.device import IoTHubDeviceClient
from azure.iot.device.exceptions import ConnectionFailedError, CredentialError
from harness import Device, case, equal, eventually, key, main, raises, refused, registry


@case
def a_new_device_has_the_keys_it_was_given():
    device = Device()
    for identity in (device.identity, registry().get_device(device.id)):
        equal(identity.device_id, device.id, "deviceId")
        equal(identity.authentication.type, "sas", "authentication type")
        equal(identity.authentication.symmetric_key.primary_key, device.primary, "primary key")
        equal(identity.authentication.symmetric_key.secondary_key, device.secondary, "secondary key")
        equal(identity.status, "enabled", "status")
        equal(identity.status_reason, None, "statusReason")
        equal(identity.connection_state, "Disconnected", "connectionState")
        equal(identity.cloud_to_device_message_count, 0, "cloudToDeviceMessageCount")
        equal(identity.capabilities.iot_edge, False, "iotEdge")
        equal(identity.last_activity_time.year, 1, "year of lastActivityTime")
        equal(identity.connection_state_updated_time.year, 1, "year of connectionStateUpdatedTime")
        equal(len(identity.generation_id), 18, "digits of generationId")
        assert base64.b64decode(identity.etag).isdigit(), identity.etag


@case
def empty_keys_are_generated():
    name = "py-generated"
    made = registry().create_device_with_sas(name, "", "", "enabled").authentication.symmetric_key
    equal(len(base64.b64decode(made.primary_key)), 32, "bytes of the primary key")
    equal(len(base64.b64decode(made.secondary_key)), 32, "bytes of the secondary key")
    assert made.primary_key != made.secondary_key


@case
def a_device_is_created_once():
    device = Device()
    body = refused(
        409,
        "DeviceAlreadyExists",
        registry().create_device_with_sas,
        device.id,
        device.primary,
        device.secondary,
        "enabled",
    )
    text = "ErrorCode:DeviceAlreadyExists;A device with ID '{}' is already registered."
    equal(body["Message"], text.format(device.id), "message")


@case
def an_update_needs_the_present_etag_or_none():
    device = Device()
    change = lambda etag, status, reason=None: registry().update_device_with_sas(
        device.id, etag, device.primary, key(3), status, status_reason=reason
    )
    first = change(device.identity.etag, "disabled", "broken")
    equal(first.status, "disabled", "status")
    equal(first.status_reason, "broken", "statusReason")
    equal(first.authentication.symmetric_key.secondary_key, key(3), "secondary key")
    equal(first.generation_id, device.identity.generation_id, "generationId")
    assert first.status_updated_time.year > 2000, first.status_updated_time
    version = lambda identity: int(base64.b64decode(identity.etag))
    equal(version(first), version(device.identity) + 1, "version in the etag")
    refused(412, "PreconditionFailed", change, device.identity.etag, "enabled")
    # without an etag the SDK sends If-Match: "*"
    equal(change(None, "enabled").status, "enabled", "status")


@case
def an_update_of_a_missing_device_is_not_found():
    update = registry().update_device_with_sas
    refused(404, "DeviceNotFound", update, "py-missing", None, key(1), key(2), "enabled")


@case
def a_delete_needs_the_present_etag_or_none():
    device = Device()
    refused(412, "PreconditionFailed", registry().delete_device, device.id, "AAAA")
    registry().delete_device(device.id, device.identity.etag)
    refused(404, "DeviceNotFound", registry().get_device, device.id)
    refused(404, "DeviceNotFound", registry().get_twin, device.id)
    refused(404, "DeviceNotFound", registry().delete_device, device.id)


@case
def a_device_made_again_is_another_one():
    device = Device()
    device.desire({"old": True})
    registry().delete_device(device.id)
    again = Device(name=device.id)
    assert again.identity.generation_id > device.identity.generation_id
    equal(again.twin().version, 2, "version of the new twin")
    assert "old" not in again.twin().properties.desired


@case
def lists_and_statistics_count_the_devices():
    before = registry().get_device_registry_statistics()
    enabled, disabled = Device(), Device(status="disabled")
    after = registry().get_device_registry_statistics()
    equal(after.total_device_count, before.total_device_count + 2, "total")
    equal(after.enabled_device_count, before.enabled_device_count + 1, "enabled")
    equal(after.disabled_device_count, before.disabled_device_count + 1, "disabled")
    listed = {device.device_id: device for device in registry().get_devices()}
    equal(len(listed), after.total_device_count, "devices listed")
    equal(listed[enabled.id].status, "enabled", "status")
    equal(listed[disabled.id].status, "disabled", "status")
    equal(len(registry().get_devices(1)), 1, "devices listed with top=1")


@case
def service_statistics_count_the_connected():
    count = lambda: registry().get_service_statistics().connected_device_count
    before = count()
    client = IoTHubDeviceClient.create_from_connection_string(Device().connection_string())
    client.connect()
    eventually(lambda: count() == before + 1, "one more connected device")
    client.shutdown()
    eventually(lambda: count() == before, "one connected device less")


@case
def identities_that_break_a_rule_are_refused():
    create = registry().create_device_with_sas
    for name, primary, secondary in (
        ("py-key-is-no-base64", "not base64!", key(2)),
        ("py-key-is-short", base64.b64encode(b"fifteen bytes..").decode(), key(2)),
        ("py-one-key", key(1), ""),
        ("py id with blanks", key(1), key(2)),
        ("p" * 129, key(1), key(2)),
    ):
        refused(400, "ArgumentInvalid", create, name, primary, secondary, "enabled")


@case
def ids_may_hold_every_allowed_character():
    name = "py-:.+%_#*?!(),=@;$'" + "A"
    device = Device(name=name)
    equal(registry().get_device(name).device_id, name, "deviceId")
    client = IoTHubDeviceClient.create_from_connection_string(
        Device(name="py-.+%_#*?!(),=@$'").connection_string()
    )
    client.patch_twin_reported_properties({"reached": True})
    client.shutdown()
    registry().delete_device(name, device.identity.etag)


@case
def both_keys_connect_and_no_other():
    device = Device()
    for good in (device.primary, device.secondary):
        client = IoTHubDeviceClient.create_from_connection_string(device.connection_string(good))
        client.connect()
        client.shutdown()
    client = IoTHubDeviceClient.create_from_connection_string(device.connection_string(key(9)))
    raises(CredentialError, client.connect)
    client.shutdown()


@case
def an_unknown_device_does_not_connect():
    device = Device()
    registry().delete_device(device.id)
    client = IoTHubDeviceClient.create_from_connection_string(device.connection_string())
    raises(CredentialError, client.connect)
    client.shutdown()


@case
def a_disabled_device_does_not_connect():
    device = Device(status="disabled")
    client = IoTHubDeviceClient.create_from_connection_string(device.connection_string())
    # CONNACK 3, which this SDK takes for a service that is not there
    raises(ConnectionFailedError, client.connect)
    client.shutdown()


@case
def disabling_and_deleting_end_the_connection():
    for end in (
        lambda device: registry().update_device_with_sas(
            device.id, None, device.primary, device.secondary, "disabled"
        ),
        lambda device: registry().delete_device(device.id),
    ):
        device = Device()
        client = IoTHubDeviceClient.create_from_connection_string(
            device.connection_string(), connection_retry=False
        )
        client.connect()
        end(device)
        eventually(lambda: not client.connected, "the connection to end")
        client.shutdown()


@case
def a_token_with_the_wrong_key_is_refused():
    refused(401, "IotHubUnauthorizedAccess", registry(key(7)).get_device, Device().id)


main()
