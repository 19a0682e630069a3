"""Twins through azure-iot-hub and azure-iot-device: merge, replace, nulls, tags, etags, metadata,
limits."""

import queue

from azure.iot.device import IoTHubDeviceClient
from azure.iot.device.exceptions import ClientError
from azure.iot.hub.models import Twin, TwinProperties
from harness import Device, case, equal, main, plain, raises, refused, registry, take


@case
def a_new_twin_is_empty():
    twin = Device().twin()
    equal(twin.etag, "AAAAAAAAAAE=", "etag")
    equal(twin.version, 2, "version")
    equal(twin.tags, None, "tags")
    equal(twin.module_id, None, "moduleId")
    equal(twin.status, "enabled", "status")
    equal(twin.authentication_type, "sas", "authenticationType")
    equal(twin.connection_state, "Disconnected", "connectionState")
    equal(twin.status_update_time.year, 1, "year of statusUpdateTime")
    equal(twin.x509_thumbprint.primary_thumbprint, None, "primaryThumbprint")
    for section in (twin.properties.desired, twin.properties.reported):
        equal(set(section), {"$metadata", "$version"}, "keys")
        equal(section["$version"], 1, "$version")
        assert section["$metadata"]["$lastUpdated"].endswith("Z"), section


@case
def a_patch_merges_and_null_deletes():
    device = Device()
    device.desire({"a": {"b": 1, "c": [1, 2]}, "d": "x"})
    device.desire({"a": {"b": None, "e": True}, "d": None})
    twin = device.twin()
    equal(plain(twin.properties.desired), {"a": {"c": [1, 2], "e": True}}, "desired")
    equal(twin.properties.desired["$version"], 3, "$version")
    equal(twin.etag, "AAAAAAAAAAM=", "etag")
    equal(twin.version, 4, "version")


@case
def metadata_follows_each_change():
    device = Device()
    device.desire({"x": {"y": 1}})
    device.desire({"x": {"y": None, "z": 2}})
    metadata = device.twin().properties.desired["$metadata"]
    equal(set(metadata), {"$lastUpdated", "$lastUpdatedVersion", "x"}, "keys of $metadata")
    equal(set(metadata["x"]), {"$lastUpdated", "$lastUpdatedVersion", "z"}, "keys of x")
    for node in (metadata, metadata["x"], metadata["x"]["z"]):
        equal(node["$lastUpdatedVersion"], 3, "$lastUpdatedVersion")


@case
def tags_are_the_back_end_s_alone():
    device = Device()
    patch = Twin(tags={"location": {"region": "US", "plant": "Redmond43"}})
    twin = registry().update_twin(device.id, patch)
    equal(twin.tags, {"location": {"region": "US", "plant": "Redmond43"}}, "tags")
    equal(twin.properties.desired["$version"], 1, "desired $version")
    equal(twin.etag, "AAAAAAAAAAI=", "etag")
    client = IoTHubDeviceClient.create_from_connection_string(device.connection_string())
    equal(client.get_twin(), {"desired": {"$version": 1}, "reported": {"$version": 1}}, "twin")
    client.shutdown()


@case
def replace_drops_what_is_not_there():
    device = Device()
    registry().update_twin(
        device.id,
        Twin(tags={"old": 1}, properties=TwinProperties(desired={"a": 1, "b": 2})),
    )
    client = IoTHubDeviceClient.create_from_connection_string(device.connection_string())
    client.connect()
    patches = queue.Queue()
    client.on_twin_desired_properties_patch_received = patches.put
    twin = registry().replace_twin(
        device.id, Twin(tags={"new": 2}, properties=TwinProperties(desired={"a": 1, "c": 100}))
    )
    equal(twin.tags, {"new": 2}, "tags")
    equal(plain(twin.properties.desired), {"a": 1, "c": 100}, "desired")
    equal(
        take(patches, "the replacement"),
        {"a": 1, "b": None, "c": 100, "$version": 3},
        "patch",
    )
    client.shutdown()


@case
def a_stale_etag_changes_nothing():
    device = Device()
    first = device.twin()
    device.desire({"a": 1}, first.etag)
    stale = Twin(properties=TwinProperties(desired={"a": 2}))
    for call in (registry().update_twin, registry().replace_twin):
        body = refused(412, "PreconditionFailed", call, device.id, stale, first.etag)
        assert device.id in body["Message"], body
    equal(plain(device.twin().properties.desired), {"a": 1}, "desired")


@case
def reported_does_not_change_the_etag():
    device = Device()
    client = IoTHubDeviceClient.create_from_connection_string(device.connection_string())
    client.patch_twin_reported_properties({"a": {"b": 1, "c": 2}, "d": [1, {"e": "f"}]})
    client.patch_twin_reported_properties({"a": {"b": None}})
    twin = device.twin()
    equal(plain(twin.properties.reported), {"a": {"c": 2}, "d": [1, {"e": "f"}]}, "reported")
    equal(twin.properties.reported["$version"], 3, "reported $version")
    equal(twin.etag, "AAAAAAAAAAE=", "etag")
    equal(twin.version, 4, "version")
    metadata = twin.properties.reported["$metadata"]
    equal(set(metadata["a"]), {"$lastUpdated", "c"}, "keys of a in $metadata")
    client.shutdown()


@case
def every_kind_of_value_comes_back_as_it_went():
    device = Device()
    values = {
        "text": "grüße, 世界 \u0001 \" \\",
        "empty": "",
        "large": 4503599627370495,
        "small": -4503599627370496,
        "float": 1.5,
        "true": True,
        "false": False,
        "object": {},
        "list": [1, "two", [3.0, {"four": True}]],
        "Case": 1,
        "case": 2,
    }
    client = IoTHubDeviceClient.create_from_connection_string(device.connection_string())
    client.patch_twin_reported_properties(values)
    device.desire(values)
    equal(plain(device.twin().properties.reported), values, "reported")
    equal(plain(client.get_twin()["desired"]), values, "desired")
    client.shutdown()


@case
def a_refused_report_says_its_status_and_the_connection_lives():
    device = Device()
    client = IoTHubDeviceClient.create_from_connection_string(device.connection_string())
    client.connect()
    section = {"p{}".format(n): "x" * 4000 for n in range(9)}
    for report, status in (
        ({"long": "x" * 4097}, 400),
        ({"a.b": 1}, 400),
        ({"$version": 1}, 400),
        ({"list": [1, None]}, 400),
        ({"number": 2**52}, 400),
        (section, 403),
    ):
        error = raises(ClientError, client.patch_twin_reported_properties, report)
        equal(str(error.__cause__), "twin operation returned status {}".format(status), "error")
    client.patch_twin_reported_properties({"fits": "x" * 4096})
    equal(plain(client.get_twin()["reported"]), {"fits": "x" * 4096}, "reported")
    client.shutdown()


@case
def a_refused_patch_says_why():
    device = Device()
    for desired in ({"long": "x" * 4097}, {"a b": 1}, {"list": [None]}, {"n": 2**52}):
        refused(400, "ArgumentInvalid", device.desire, desired)
    equal(device.twin().version, 2, "version")


main()
