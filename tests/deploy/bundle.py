"""The deployed bundle from outside: its gateways, queues, logs, and the operator.

It exists so that tests are sentences. It must not know how the functions do what they do.
"""

import http.client
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

Json = dict[str, Any]
T = TypeVar("T")

TARGET = Path(os.environ["CARGO_TARGET_DIR"])
SCRATCH = TARGET / "deploy"
STACK = "picket-test"
PATIENCE = 60.0


def eventually(condition: Callable[[], T], what: str, within: float = PATIENCE) -> T:
    """Asks until the answer is true-like; an end without one is a failure that says what was waited for."""
    end = time.monotonic() + within
    while not (answer := condition()):
        assert time.monotonic() < end, f"not within {within:g} s: {what}"
        time.sleep(0.05)
    return answer


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def __str__(self) -> str:
        return f"{self.status} {self.body.decode(errors='replace')}"


@dataclass(frozen=True)
class Line:
    """One line that a function logged."""

    time: int
    group: str
    text: str

    @property
    def json(self) -> Json:
        return json.loads(self.text)

    def span(self, name: str) -> Any:
        """A field of the spans around the line; the runtime's own span lies outside of ours."""
        return next((it[name] for it in self.json.get("spans", []) if name in it), None)

    def __str__(self) -> str:
        return f"{self.group.removeprefix('/aws/lambda/')}: {self.text}"


class FunctionError(Exception):
    """What an invocation answers that failed."""


class Bundle:
    """The deployed stack."""

    def __init__(
        self, client: Callable[[str], Any], endpoint: str, outputs: list[Json]
    ) -> None:
        self.address = urlsplit(endpoint).netloc
        self.functions, self.sqs = client("lambda"), client("sqs")
        self.dynamodb, self.cloudwatch = client("dynamodb"), client("logs")
        self.outputs: dict[str, str] = {
            it["OutputKey"]: it["OutputValue"] for it in outputs
        }
        stack = client("cloudformation").describe_stack_resources(StackName=STACK)
        self.resources: dict[str, Json] = {
            it["LogicalResourceId"]: it for it in stack["StackResources"]
        }
        # What no log may show: the key ring now, tokens and shared secrets as they are made.
        operator = self.functions.get_function_configuration(
            FunctionName=self.name("Operator")
        )
        self.secrets = {
            operator["Environment"]["Variables"]["KEY_RING"].split(":", 1)[1]
        }
        self._errors: set[tuple[str, str]] = set()
        self._dead: set[str] = set()
        self._begun = 0

    def name(self, logical: str) -> str:
        """The name that a resource got."""
        return self.resources[logical]["PhysicalResourceId"]

    # Tests ----------------------------------------------------------------------------

    def begin(self) -> None:
        self._begun = int(time.time() * 1000)
        self._dead = set()

    def expect_error(self, group: str, text: str) -> None:
        """Lets a log group hold lines of level ERROR with this text, from now on: lines may come late."""
        self._errors.add((group, text))

    def expect_dead(self, queue: str) -> None:
        """Lets a dead-letter queue hold messages at the end of this test, which are then thrown away."""
        self._dead.add(queue)

    def clear(self) -> None:
        """Throws away what a failed test left on queues, for the sake of the next test."""
        for queue in self.queue_states():
            self.sqs.purge_queue(QueueUrl=self.name(queue))

    def finish(self) -> None:
        """Nothing on any queue, nothing in the outbox, no unexpected error, and no secret in any log."""
        for queue in self._dead:
            self.sqs.purge_queue(QueueUrl=self.name(queue))
        self.settle()
        lines = self.lines(self._begun)
        for line in lines:
            assert isinstance(line.json, dict), line
            assert not [secret for secret in self.secrets if secret in line.text], (
                f"a secret in a log of {line.group}"
            )
        errors = [
            line
            for line in lines
            if line.json.get("level") == "ERROR" and not self._expects(line)
        ]
        assert not errors, "\n".join(map(str, errors))

    def _expects(self, line: Line) -> bool:
        return any(
            line.group.endswith(group) and text in line.text
            for group, text in self._errors
        )

    # The operator ---------------------------------------------------------------------

    def invoke(self, function: str, payload: Any) -> Any:
        """Invokes a function by its name and gives its answer."""
        answer = self.functions.invoke(
            FunctionName=function, Payload=json.dumps(payload)
        )
        body = json.load(answer["Payload"])
        if "FunctionError" in answer:
            raise FunctionError(body["errorMessage"])
        return body

    def restart(self, function: str) -> None:
        """Lets a function's next invocation be a cold start: a change of its configuration ends its processes."""
        before = self.functions.get_function_configuration(FunctionName=function)[
            "Environment"
        ]["Variables"]
        environment = {"Variables": before | {"RESTARTED": uuid.uuid4().hex}}
        self.functions.update_function_configuration(
            FunctionName=function, Environment=environment
        )
        self.functions.get_waiter("function_updated_v2").wait(FunctionName=function)

    def operator(self, command: str, **fields: Any) -> Json:
        """Carries out a command, and makes a failure of a refusal."""
        answer = self.invoke(
            self.outputs["OperatorFunction"], {"command": command, **fields}
        )
        assert "error" not in answer, answer
        return answer

    # HTTP -----------------------------------------------------------------------------

    def request(
        self,
        method: str,
        url: str,
        headers: dict[str, str] | None = None,
        body: str = "",
    ) -> Answer:
        """Sends a request to a gateway. The path goes out as it is; ministack knows the API by the host."""
        host, _, path = url.removeprefix("https://").partition("/")
        api, port = host.split(".")[0], self.address.split(":")[1]
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE)
        headers = {"Host": f"{api}.execute-api.localhost:{port}"} | (headers or {})
        connection.request(method, f"/{path}", body.encode() or None, headers)
        response = connection.getresponse()
        answer = Answer(
            response.status,
            {key.lower(): value for key, value in response.getheaders()},
            response.read(),
        )
        connection.close()
        return answer

    def get(self, path: str, token: str | None = None) -> Answer:
        """`GET` under the API's base URL."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self.request("GET", self.outputs["ApiUrl"] + path, headers)

    def mails(self, to: str) -> list[Json]:
        """The mails that SES was given for an address, as ministack shows them."""
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE)
        connection.request("GET", "/_ministack/ses/messages")
        found = json.load(connection.getresponse())
        connection.close()
        all_mails = [it for account in found["messages"].values() for it in account]
        return [it for it in all_mails if any(to in one for one in it["To"])]

    # Queues ---------------------------------------------------------------------------

    def queue_states(self) -> dict[str, Json]:
        """What is on the queues of the stack."""
        queues = [
            it
            for it in self.resources.values()
            if it["ResourceType"] == "AWS::SQS::Queue"
        ]
        return {
            it["LogicalResourceId"]: self.queue_state(it["PhysicalResourceId"])
            for it in queues
        }

    def queue_state(self, url: str) -> Json:
        names = {"visible": "", "in_flight": "NotVisible", "delayed": "Delayed"}
        full = {name: f"ApproximateNumberOfMessages{it}" for name, it in names.items()}
        answer = self.sqs.get_queue_attributes(
            QueueUrl=url, AttributeNames=list(full.values())
        )
        return {name: int(answer["Attributes"][it]) for name, it in full.items()}

    def count(self, url: str) -> int:
        """How many messages a queue holds, wherever they are."""
        return sum(self.queue_state(url).values())

    def outbox(self) -> int:
        """How many messages wait in the table."""
        found = self.dynamodb.scan(
            TableName=self.outputs["TableName"],
            FilterExpression="begins_with(PK, :outbox)",
            ExpressionAttributeValues={":outbox": {"S": "OUT#"}},
            ConsistentRead=True,
        )
        return found["Count"]

    def hurry(self) -> None:
        """Makes what is put off in the outbox due now."""
        table, now = self.outputs["TableName"], int(time.time() * 1000)
        found = self.dynamodb.scan(
            TableName=table,
            FilterExpression="begins_with(PK, :outbox)",
            ExpressionAttributeValues={":outbox": {"S": "OUT#"}},
            ConsistentRead=True,
        )
        for item in found["Items"]:
            due, message = item["SK"]["S"].split("#", 1)
            if int(due) > now:
                sooner = item | {"SK": {"S": f"{now:013}#{message}"}}
                self.dynamodb.put_item(TableName=table, Item=sooner)
                key = {"PK": item["PK"], "SK": item["SK"]}
                self.dynamodb.delete_item(TableName=table, Key=key)

    def settle(self) -> None:
        """Waits until no message is left, twice in a row: one may just be between a queue and the table."""

        def quiet() -> bool:
            return (
                not any(sum(state.values()) for state in self.queue_states().values())
                and not self.outbox()
            )

        eventually(
            lambda: quiet() and quiet(),
            "queues, dead-letter queues and outbox are empty",
        )

    def arn(self, url: str) -> str:
        return self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])[
            "Attributes"
        ]["QueueArn"]

    @contextmanager
    def paused(self, mapping: str) -> Iterator[None]:
        """Keeps messages on a mapping's queue meanwhile."""
        self.functions.update_event_source_mapping(
            UUID=self.name(mapping), Enabled=False
        )
        try:
            yield
        finally:
            self.functions.update_event_source_mapping(
                UUID=self.name(mapping), Enabled=True
            )

    def receive(self, url: str) -> list[Json]:
        """Takes messages off a queue without deleting them."""
        answer = self.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"]
        )
        return answer.get("Messages", [])

    # Logs -----------------------------------------------------------------------------

    def lines(self, since: int = 0) -> list[Line]:
        """What functions logged since a time in milliseconds, without Lambda's own lines, oldest first."""
        lines = [
            line
            for line in self._lines(since)
            if not line.text.startswith(("START ", "END ", "REPORT "))
        ]
        return sorted(lines, key=lambda line: line.time)

    def ministack_says(self, text: str) -> int:
        """How often ministack's own log says this."""
        return (SCRATCH / "ministack.log").read_text(errors="replace").count(text)

    def cold_starts(self, function: str) -> int:
        """How many processes of a function were started."""
        return self.ministack_says(f"environment spawned for {function} (cold start)")

    def _lines(self, since: int) -> Iterator[Line]:
        for page in self.cloudwatch.get_paginator("describe_log_groups").paginate():
            for group in page["logGroups"]:
                events = self.cloudwatch.get_paginator("filter_log_events")
                for found in events.paginate(
                    logGroupName=group["logGroupName"], startTime=since
                ):
                    for event in found["events"]:
                        yield Line(
                            event["timestamp"], group["logGroupName"], event["message"]
                        )
