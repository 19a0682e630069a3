"""Configurations through azure-iot-hub: create, read, update, list, delete, twins that follow,
queries that are tested, contents for edge devices."""

from azure.iot.hub import IoTHubConfigurationManager
from azure.iot.hub.models import (
    Configuration,
    ConfigurationContent,
    ConfigurationMetrics,
)
from azure.iot.hub.protocol.models import ConfigurationQueriesTestInput
from harness import CONNECTION_STRING, Device, case, equal, eventually, main, refused, registry

manager = IoTHubConfigurationManager.from_connection_string(CONNECTION_STRING)


def water(name, condition, temperature, priority=10):
    return Configuration(
        id=name,
        schema_version="1.0",
        labels={"label": "value"},
        content=ConfigurationContent(
            device_content={"properties.desired.water": {"temperature": temperature}}
        ),
        target_condition=condition,
        priority=priority,
        metrics=ConfigurationMetrics(
            queries={"warm": "SELECT deviceId FROM devices WHERE properties.desired.water.temperature > 0"}
        ),
    )


@case
def a_configuration_comes_changes_and_goes():
    made = manager.create_configuration(water("py-1", "tags.py = 1", 38))
    equal((made.id, made.priority, made.etag), ("py-1", 10, "MQ=="), "created")
    got = manager.get_configuration("py-1")
    equal(got.content.device_content, {"properties.desired.water": {"temperature": 38}}, "content")
    equal(got.labels, {"label": "value"}, "labels")
    got.priority = 42
    got.etag = None
    changed = manager.update_configuration(got, made.etag)
    equal((changed.priority, changed.etag), (42, "Mg=="), "updated")
    refused(412, "PreconditionFailed", manager.update_configuration, got, made.etag)
    refused(409, "ConfigurationAlreadyExists", manager.create_configuration, water("py-1", "*", 38))
    equal([one.id for one in manager.get_configurations(20)], ["py-1"], "list")
    manager.delete_configuration("py-1")
    refused(404, "ConfigurationNotFound", manager.get_configuration, "py-1")


@case
def twins_follow_and_are_counted():
    device = Device()
    name = "py-2"
    manager.create_configuration(water(name, "deviceId = '{}'".format(device.id), 38))
    eventually(
        lambda: device.twin().properties.desired.get("water") == {"temperature": 38},
        "the setting in the twin",
    )
    eventually(
        lambda: manager.get_configuration(name).system_metrics.results
        == {"targetedCount": 1, "appliedCount": 1},
        "the counts",
    )
    equal(manager.get_configuration(name).metrics.results, {"warm": 1}, "metrics")
    manager.delete_configuration(name)
    eventually(lambda: "water" not in device.twin().properties.desired, "the setting is gone")


@case
def queries_are_tested():
    answer = manager.test_configuration_queries(
        ConfigurationQueriesTestInput(
            target_condition="tags.a =", custom_metric_queries={"bad": "SELECT"}
        )
    )
    assert "SQL query parse failed" in answer.target_condition_error, answer
    equal(list(answer.custom_metric_query_errors), ["bad"], "metrics")


@case
def an_edge_device_gets_a_content():
    name = "py-edge"
    registry().create_device_with_sas(name, "", "", "enabled", iot_edge=True)
    content = ConfigurationContent(
        modules_content={
            "$edgeAgent": {"properties.desired": {"modules": {"sensor": {"type": "docker"}}}},
            "$edgeHub": {"properties.desired": {"routes": {}}},
            "sensor": {"properties.desired": {"interval": 5}},
        }
    )
    manager.apply_configuration_on_edge_device(name, content)
    modules = sorted(module.module_id for module in registry().get_modules(name))
    equal(modules, ["$edgeAgent", "$edgeHub", "sensor"], "modules")
    twin = registry().get_module_twin(name, "sensor")
    equal(twin.properties.desired["interval"], 5, "interval")


main()
