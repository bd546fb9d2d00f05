"""What happens to messages that fail.

These tests wait for a message to come back five times. So that this takes seconds and not a quarter of an hour
they shorten the queue's VisibilityTimeout; everything else about it is the template's.
"""

import json
from collections.abc import Iterator

import pytest
from acme import Acme
from bundle import Bundle, Line, eventually
from deployment import bootstrap

SOON = "1"

GIVEN_UP = "given up: the message goes to the dead-letter queue"


@pytest.fixture
def impatient(bundle: Bundle) -> Iterator[str]:
    """issue-sync's queue, on which a failed message is visible again soon."""
    queue = bundle.name("IssueSyncQueue")
    before = bundle.sqs.get_queue_attributes(
        QueueUrl=queue, AttributeNames=["VisibilityTimeout"]
    )["Attributes"]
    bundle.sqs.set_queue_attributes(
        QueueUrl=queue, Attributes={"VisibilityTimeout": SOON}
    )
    yield queue
    bundle.sqs.set_queue_attributes(QueueUrl=queue, Attributes=before)


def failures(bundle: Bundle, message: str) -> list[Line]:
    """The lines that say that a message could not be handled, one for each receive."""
    lines = [
        line
        for line in bundle.lines()
        if line.span("sqs.id") == message and "fault" in line.json
    ]
    return sorted(lines, key=lambda line: line.span("message.attempt"))


def attempts(bundle: Bundle, message: str) -> list[int]:
    return [line.span("message.attempt") for line in failures(bundle, message)]


def given_up(bundle: Bundle, message: str) -> list[int]:
    """The receives after which a message was said to go to the dead-letter queue."""
    return [
        line.span("message.attempt")
        for line in bundle.lines()
        if line.span("sqs.id") == message and line.json.get("message") == GIVEN_UP
    ]


def test_a_message_that_is_not_json_is_dead_after_five_receives_and_the_others_of_its_batch_are_handled(
    acme: Acme, bundle: Bundle, impatient: str
) -> None:
    bundle.expect_error("-issue-sync", "the message can never be handled")
    bundle.expect_error("-issue-sync", GIVEN_UP)
    bundle.expect_dead("IssueSyncDlq")
    ana = acme.people[0]
    poison = ' {"not": "ours", \u00fc} \n'
    with bundle.paused("IssueSyncMapping"):
        message = bundle.sqs.send_message(QueueUrl=impatient, MessageBody=poison)[
            "MessageId"
        ]
        acme.assign(1, ana)
    eventually(lambda: acme.assignee() == ana, "the API shows Ana")
    dead = bundle.name("IssueSyncDlq")
    eventually(lambda: bundle.count(dead) == 1, "the message is dead")
    assert [it["Body"] for it in bundle.receive(dead)] == [poison]
    assert bundle.count(impatient) == 0
    assert attempts(bundle, message) == [1, 2, 3, 4, 5]
    assert given_up(bundle, message) == [5]
    batch = failures(bundle, message)[0].span("requestId")
    applied = [
        line
        for line in bundle.lines()
        if line.json.get("outcome") == "applied" and line.span("requestId") == batch
    ]
    assert applied, "the assignment was in another batch"


DELIVERY = "01KAJ5T4QGXT9V5V3J9Z5M2C7E"


def deassign(version: int) -> str:
    """A message as outbox-relay sends it."""
    tracker = {
        "provider": "vsts",
        "integration": "1",
        "external_issue": "31",
        "revision": version,
        "delivery": DELIVERY,
    }
    message = {
        "organization": "1",
        "group": "2",
        "seen_version": version,
        "acting_user": None,
    }
    message |= {"type": "Deassign.v1", "origin": {"tracker": tracker}}
    return json.dumps(
        {
            "id": DELIVERY,
            "trace": "1-67891233-abcdef012345678912345678",
            "message": message,
        }
    )


@pytest.fixture
def panics(bundle: Bundle) -> Iterator[str]:
    """The queue of one more function, which panics on messages of version 2. It is set up like deassign."""
    dead = bundle.sqs.create_queue(QueueName="panics-dlq")["QueueUrl"]
    redrive = json.dumps(
        {"deadLetterTargetArn": bundle.arn(dead), "maxReceiveCount": 5}
    )
    attributes = {"VisibilityTimeout": SOON, "RedrivePolicy": redrive}
    queue = bundle.sqs.create_queue(QueueName="panics", Attributes=attributes)[
        "QueueUrl"
    ]
    like = bundle.functions.get_function_configuration(
        FunctionName=bundle.name("Deassign")
    )
    taken = [
        "Runtime",
        "Handler",
        "Role",
        "Architectures",
        "MemorySize",
        "Timeout",
        "Environment",
    ]
    bundle.functions.create_function(
        FunctionName="panics",
        Code={"ZipFile": bootstrap("panics")},
        **{key: like[key] for key in taken},
    )
    bundle.functions.get_waiter("function_active_v2").wait(FunctionName="panics")
    mapping = bundle.functions.create_event_source_mapping(
        FunctionName="panics",
        EventSourceArn=bundle.arn(queue),
        BatchSize=10,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        Enabled=False,
    )
    yield mapping["UUID"]
    bundle.functions.delete_event_source_mapping(UUID=mapping["UUID"])
    bundle.functions.delete_function(FunctionName="panics")
    for url in [queue, dead]:
        bundle.sqs.delete_queue(QueueUrl=url)


def test_a_panic_fails_its_own_message_and_the_process_lives_on(
    bundle: Bundle, panics: str
) -> None:
    bundle.expect_error("/panics", "as the test wants it")
    bundle.expect_error("/panics", GIVEN_UP)
    queue, dead = (
        bundle.sqs.get_queue_url(QueueName=name)["QueueUrl"]
        for name in ["panics", "panics-dlq"]
    )
    sent = [
        bundle.sqs.send_message(QueueUrl=queue, MessageBody=deassign(version))[
            "MessageId"
        ]
        for version in [1, 2, 3]
    ]
    bundle.functions.update_event_source_mapping(UUID=panics, Enabled=True)
    eventually(lambda: bundle.count(dead) == 1, "the message is dead")
    assert [
        json.loads(it["Body"])["message"]["seen_version"] for it in bundle.receive(dead)
    ] == [2]
    assert [attempts(bundle, message) for message in sent] == [[], [1, 2, 3, 4, 5], []]
    assert [given_up(bundle, message) for message in sent] == [[], [5], []]
    # All three were received once; after that the one that panics came back alone, to the same process.
    assert (
        bundle.ministack_says(
            "processed 2 SQS messages from panics (1 partial failures)"
        )
        == 1
    )
    assert (
        bundle.ministack_says(
            "processed 0 SQS messages from panics (1 partial failures)"
        )
        == 4
    )
    assert bundle.cold_starts("panics") == 1
    assert bundle.ministack_says("Runtime.ExitError") == 0
