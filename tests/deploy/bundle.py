"""The bundle as it is deployed: how it gets into ministack, and how a test talks to it from outside.

It exists so that tests are sentences. It knows the template's names and what goes over the wire, and must not
know how the functions do what they do.

ministack 1.5.33 is not AWS. What we work around is in `for_ministack`; the rest limits what these tests can say:

- VpcConfig, security groups, IAM policies and the table's encryption are taken and not enforced.
- A REST API hands its function the path decoded once, where AWS hands it over as the client encoded it.
- A stream mapping retries a batch without end: no MaximumRetryAttempts, no batchItemFailures.
- A log line may arrive with the next invocation's, and is lost where the function ends while it starts.
- No StartMessageMoveTask. A warm invocation costs about 100 ms: assert behaviour here, never speed.
"""

import http.client
import io
import json
import os
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from samtranslator.yaml_helper import yaml_parse

Json = dict[str, Any]
T = TypeVar("T")

ROOT = Path(__file__).parents[2]
TARGET = Path(os.environ["CARGO_TARGET_DIR"])
SCRATCH = TARGET / "deploy"
STACK = "picket-test"
BUCKET = "picket-test-code"
PATIENCE = 60.0


def eventually(condition: Callable[[], T], what: str, within: float = PATIENCE) -> T:
    """Asks until the answer is true-like; an end without one is a failure that says what was waited for."""
    end = time.monotonic() + within
    while not (answer := condition()):
        assert time.monotonic() < end, f"not within {within:g} s: {what}"
        time.sleep(0.05)
    return answer


def packed(bootstrap: Path) -> bytes:
    """What Lambda takes: a zip with an executable `bootstrap`."""
    entry = zipfile.ZipInfo("bootstrap")
    entry.external_attr = 0o755 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(entry, bootstrap.read_bytes())
    return archive.getvalue()


def bootstrap(package: str) -> bytes:
    """A built function, as Lambda takes it."""
    return packed(TARGET / "lambda" / package / "bootstrap")


def template() -> Json:
    return yaml_parse((ROOT / "infra" / "template.yaml").read_text())


def functions(of: Json) -> dict[str, Json]:
    """The functions of a template by logical id."""
    return {
        name: it
        for name, it in of["Resources"].items()
        if it["Type"] == "AWS::Serverless::Function"
    }


def for_ministack(of: Json) -> None:
    """Changes the template where ministack cannot take it as it is. Every line here is a gap of ministack's."""
    for resource in of["Resources"].values():
        properties = resource.get("Properties", {})
        # Parameters are texts there, also those of type Number, and a mapping compares this one with numbers.
        if (
            resource["Type"] == "AWS::Lambda::EventSourceMapping"
            and "ScalingConfig" in properties
        ):
            properties["ScalingConfig"] = {
                "MaximumConcurrency": of["Parameters"]["MaximumConcurrency"]["Default"]
            }
        # Its cache is a plain Redis: there is no TLS in transit.
        variables = properties.get("Environment", {}).get("Variables", {})
        if "REDIS_URL" in variables:
            url = variables["REDIS_URL"]["Fn::Sub"]
            assert url.startswith("rediss://")
            variables["REDIS_URL"]["Fn::Sub"] = url.replace("rediss://", "redis://")


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


def deploy(endpoint: str) -> "Bundle":
    """Uploads the built functions and creates the stack of the real template."""
    session = boto3.Session("test", "test", region_name="us-east-1")
    config = Config(retries={"total_max_attempts": 1}, read_timeout=90)

    def client(name: str) -> Any:
        return session.client(name, endpoint_url=endpoint, config=config)

    storage, cloudformation = client("s3"), client("cloudformation")
    storage.create_bucket(Bucket=BUCKET)
    body = template()
    for function in functions(body).values():
        # What `sam package` does.
        package = Path(function["Properties"]["CodeUri"]).name
        storage.put_object(Bucket=BUCKET, Key=package, Body=bootstrap(package))
        function["Properties"]["CodeUri"] = f"s3://{BUCKET}/{package}"
    for_ministack(body)
    cloudformation.create_stack(
        StackName=STACK,
        TemplateBody=json.dumps(body),
        Parameters=[{"ParameterKey": "Architecture", "ParameterValue": "x86_64"}],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )

    def stack() -> Json:
        return cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]

    eventually(
        lambda: not stack()["StackStatus"].endswith("_IN_PROGRESS"),
        "the stack is created or refused",
    )
    if stack()["StackStatus"] != "CREATE_COMPLETE":
        events = cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
        reasons = [
            f"{it['LogicalResourceId']}: {it.get('ResourceStatusReason')}"
            for it in events
        ]
        raise AssertionError(
            "\n".join([f"the stack is {stack()['StackStatus']}", *reasons])
        )
    return Bundle(client, endpoint, stack()["Outputs"])


class Bundle:
    """The deployed stack."""

    def __init__(
        self, client: Callable[[str], Any], endpoint: str, outputs: list[Json]
    ) -> None:
        self.address = urlsplit(endpoint).netloc
        self.cloudformation, self.functions, self.sqs = (
            client("cloudformation"),
            client("lambda"),
            client("sqs"),
        )
        self.dynamodb, self.cloudwatch = client("dynamodb"), client("logs")
        self.outputs: dict[str, str] = {
            it["OutputKey"]: it["OutputValue"] for it in outputs
        }
        resources = self.cloudformation.describe_stack_resources(StackName=STACK)[
            "StackResources"
        ]
        self.resources: dict[str, Json] = {
            it["LogicalResourceId"]: it for it in resources
        }
        # The secret's text as the functions got it: that of the secret itself is not asked for by name.
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

    # Tests ----------------------------------------------------------------------------------------------------------

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

    # The operator ---------------------------------------------------------------------------------------------------

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

    # HTTP -----------------------------------------------------------------------------------------------------------

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

    # Queues ---------------------------------------------------------------------------------------------------------

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
        names = ["", "NotVisible", "Delayed"]
        names = [f"ApproximateNumberOfMessages{name}" for name in names]
        attributes = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)[
            "Attributes"
        ]
        return {
            name: int(attributes[full])
            for name, full in zip(["visible", "in_flight", "delayed"], names)
        }

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

    # Logs -----------------------------------------------------------------------------------------------------------

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


@dataclass
class Acme:
    """An organization that gets an issue's assignee from Azure DevOps."""

    bundle: Bundle
    slug: str
    collection: str
    secret: str
    token: str
    group: str
    people: list[str] = field(default_factory=list)

    @classmethod
    def seed(cls, bundle: Bundle) -> "Acme":
        """Everything is made through the operator, as in an installation."""
        slug = f"acme-{uuid.uuid4().hex[:8]}"
        here = {"organization": slug}
        run = bundle.operator
        run("create-organization", slug=slug, name="Acme")
        run("create-team", **here, slug="web-team", name="Web team")
        people = [f"{name}@{slug}.example" for name in ["ana", "bo", "cy"]]
        for email, teams in zip(people, [["web-team"], ["web-team"], []]):
            run("create-user", email=email, name=email.split("@")[0].title())
            run("add-member", **here, email=email, teams=teams)
        run(
            "create-project",
            **here,
            team="web-team",
            slug="web",
            name="Web",
            platform="python",
        )
        token = run("create-token", email=people[0], name="test", scopes="all")[
            "token"
        ]["text"]
        integration = run(
            "create-integration",
            **here,
            provider="vsts",
            external_id=f"collection-of-{slug}",
            name=slug,
            domain_name=f"https://dev.azure.com/{slug}/",
        )["integration"]
        run("set-feature", **here, feature="integrations-issue-sync", enabled=True)
        run(
            "set-sync",
            **here,
            integration=integration["id"],
            switches={"inbound_assignee": True},
        )
        issue = run("create-issue", **here, project="web", title="KeyError: 'user'")[
            "issue"
        ]
        run(
            "link-external-issue",
            **here,
            issue=issue["short_id"],
            integration=integration["id"],
            key="31",
        )
        bundle.secrets |= {token, integration["shared_secret"]}
        collection = f"collection-of-{slug}"
        return cls(
            bundle,
            slug,
            collection,
            integration["shared_secret"],
            token,
            issue["id"],
            people,
        )

    def post(self, body: str, secret: str | None = None) -> Answer:
        """Posts to the Azure DevOps webhook."""
        url = f"{self.bundle.outputs['WebhookUrl']}/extensions/vsts/issue-updated/"
        headers = {
            "Content-Type": "application/json",
            "Shared-Secret": secret or self.secret,
        }
        return self.bundle.request("POST", url, headers, body)

    def work_item(self, revision: int, change: Json) -> str:
        """A delivery about the work item that the issue is linked to."""
        return json.dumps(
            {
                "eventType": "workitem.updated",
                "resource": {
                    "workItemId": 31,
                    "rev": revision,
                    "fields": {"System.AssignedTo": change},
                },
                "resourceContainers": {
                    "collection": {"id": self.collection},
                    "project": {"id": "prj-9"},
                },
            }
        )

    def deliver(self, revision: int, change: Json) -> None:
        """Every delivery comes twice."""
        for _ in range(2):
            answer = self.post(self.work_item(revision, change))
            assert (answer.status, answer.body) == (200, b""), answer

    def assign(self, revision: int, email: str) -> None:
        self.deliver(revision, {"newValue": f"Somebody <{email}>"})

    def unassign(self, revision: int) -> None:
        self.deliver(revision, {"oldValue": "Somebody <somebody@acme.example>"})

    def get(self, path: str) -> Any:
        answer = self.bundle.get(path, self.token)
        assert answer.status == 200, answer
        return answer.json()

    def assignee(self) -> str | None:
        """The address of the issue's assignee, as the API shows it."""
        assignee = self.get(f"/api/0/issues/{self.group}/")["assignedTo"]
        return assignee and assignee["email"]

    def activity(self) -> list[str]:
        """The issue's activity in words, oldest first."""
        lines = self.get(f"/api/0/issues/{self.group}/activities/")["activity"]
        return [
            " ".join(filter(None, [it["type"], it["data"].get("assigneeEmail")]))
            for it in reversed(lines)
        ]
