"""What the template makes."""

import re

from bundle import Bundle
from deployment import functions, template


def test_every_resource_of_the_template_is_made(bundle: Bundle) -> None:
    body = template()
    left_out = {
        "HasReservedConcurrency",
        "HasAlarmTopic",
        "HasPublicUrl",
        "HasIngestUrl",
        "HasSeveralCacheNodes",
    }
    wanted = {
        name
        for name, it in body["Resources"].items()
        if it.get("Condition") not in left_out
    }
    states = {name: it["ResourceStatus"] for name, it in bundle.resources.items()}
    assert wanted <= states.keys(), wanted - states.keys()
    assert set(states.values()) == {"CREATE_COMPLETE"}, states


def test_the_outputs_name_base_urls_queues_and_the_operator(bundle: Bundle) -> None:
    gateway = r"https://[a-z0-9]+\.execute-api\.us-east-1\.amazonaws\.com"
    assert re.fullmatch(gateway + "/v1", bundle.outputs["ApiUrl"])
    assert re.fullmatch(gateway, bundle.outputs["WebhookUrl"])
    assert bundle.outputs["OperatorFunction"] == bundle.name("Operator")
    assert bundle.outputs["TableName"] == bundle.name("Table")
    queues = {
        name
        for name, it in bundle.resources.items()
        if it["ResourceType"] == "AWS::SQS::Queue"
    }
    assert queues == {
        name.removesuffix("Name")
        for name in bundle.outputs
        if name.endswith(("QueueName", "DlqName"))
    }
    for queue in queues:
        assert bundle.name(queue).endswith("/" + bundle.outputs[f"{queue}Name"])


def test_every_function_runs_on_the_architecture_that_was_asked_for(
    bundle: Bundle,
) -> None:
    for function in functions(template()):
        deployed = bundle.functions.get_function_configuration(
            FunctionName=bundle.name(function)
        )
        assert (deployed["Architectures"], deployed["State"]) == (
            ["x86_64"],
            "Active",
        ), function
