"""Queries through azure-iot-hub: pages, whole twins, aggregates, modules, mistakes."""

import uuid

from azure.iot.hub.models import QuerySpecification, Twin
from harness import Device, case, equal, main, refused, registry


def ask(text, token=None, size=None):
    """One page of the answer."""
    return registry().query_iot_hub(QuerySpecification(query=text), token, size)


def tagged(count):
    """So many devices with a tag that no others have, and the condition that finds them."""
    mark = uuid.uuid4().hex[:12]
    devices = [Device(name="py-{}-{}".format(mark, number)) for number in range(count)]
    for number, device in enumerate(devices):
        tags = {"mark": mark, "place": {"floor": number % 2}}
        registry().update_twin(device.id, Twin(tags=tags))
    return devices, "tags.mark = '{}'".format(mark)


@case
def whole_twins_come_back():
    devices, condition = tagged(2)
    devices[1].desire({"lamp": {"on": True}})
    found = ask("SELECT * FROM devices WHERE {} AND tags.place.floor = 1".format(condition))
    equal((found.type, found.continuation_token), ("Twin", None), "headers")
    (twin,) = found.items
    equal(twin.device_id, devices[1].id, "deviceId")
    equal(twin.as_dict(), devices[1].twin().as_dict(), "twin")
    lamp = "SELECT * FROM devices WHERE {} AND properties.desired.lamp.on".format(condition)
    equal([twin.device_id for twin in ask(lamp).items], [devices[1].id], "devices")


@case
def pages_bring_everything_once():
    devices, condition = tagged(7)
    text = "SELECT * FROM devices WHERE " + condition
    names, sizes, token = [], [], None
    while True:
        page = ask(text, token, 3)
        names += [twin.device_id for twin in page.items]
        sizes.append(len(page.items))
        token = page.continuation_token
        if token is None:
            break
    equal(sizes, [3, 3, 1], "rows on pages")
    equal(names, sorted(device.id for device in devices), "devices")


@case
def nothing_is_an_empty_page():
    found = ask("SELECT * FROM devices WHERE deviceId = 'py-nobody'")
    equal((found.type, found.items, found.continuation_token), ("Twin", [], None), "page")


@case
def projections_and_aggregates_are_raw():
    _, condition = tagged(3)
    found = ask("SELECT COUNT() AS total FROM devices WHERE " + condition)
    equal((found.type, len(found.items)), ("Raw", 1), "page")
    equal(found.items[0].additional_properties, {"total": 3}, "row")
    by = "SELECT tags.place.floor AS floor, COUNT() AS n FROM devices WHERE {} GROUP BY tags.place.floor"
    rows = [row.additional_properties for row in ask(by.format(condition)).items]
    equal(rows, [{"floor": 0, "n": 2}, {"floor": 1, "n": 1}], "rows")


@case
def modules_are_found():
    device = Device()
    registry().create_module_with_sas(device.id, "lens", "", device.primary, device.secondary)
    found = ask("SELECT * FROM devices.modules WHERE deviceId = '{}'".format(device.id))
    equal([(twin.device_id, twin.module_id) for twin in found.items], [(device.id, "lens")], "modules")


@case
def a_mistake_is_named():
    text = "SELECT * FROM devices WHERE deviceId ="
    body = refused(400, "ArgumentInvalid", ask, text)
    start = "ErrorCode:ArgumentInvalid;SQL query parse failed due to following errors: \n\tLine 1:39"
    assert body["Message"].startswith(start), body


@case
def a_token_of_another_query_is_refused():
    _, condition = tagged(2)
    token = ask("SELECT * FROM devices WHERE " + condition, None, 1).continuation_token
    refused(400, "ArgumentInvalid", ask, "SELECT * FROM devices", token)


main()
