"""How the bundle gets into ministack: the real template, the built functions, one stack.

ministack 1.5.33 is not AWS. What we work around is in `for_ministack`; the rest limits what these tests can say:

- VpcConfig, security groups, IAM policies and encryption are taken and not enforced.
- GenerateSecretString heeds ExcludeCharacters and not ExcludePunctuation, so the template names both.
- A REST API hands its function the path decoded once, where AWS hands it over as the client encoded it.
- SAM's `Events` shorthand for HTTP APIs makes no routes. The template writes them out.
- A stream mapping retries a batch without end: no MaximumRetryAttempts, no batchItemFailures.
- A log line may arrive with the next invocation's, and is lost where a function ends while it starts.
- No StartMessageMoveTask. A warm invocation costs about 100 ms: assert behaviour here, never speed.
"""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from bundle import STACK, TARGET, Bundle, Json, eventually
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).parents[2]
BUCKET = "picket-test-code"
PARAMETERS = {
    "Architecture": "x86_64",
    "MailFrom": "picket@mail.example",
    "MailIdentity": "mail.example",
}


def bootstrap(package: str) -> bytes:
    """A built function as Lambda takes it: a zip with an executable `bootstrap`."""
    entry = zipfile.ZipInfo("bootstrap")
    entry.external_attr = 0o755 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(entry, (TARGET / "lambda" / package / "bootstrap").read_bytes())
    return archive.getvalue()


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
        if "ScalingConfig" in properties:
            default = of["Parameters"]["MaximumConcurrency"]["Default"]
            properties["ScalingConfig"] = {"MaximumConcurrency": default}
        # Its cache is a plain Redis: there is no TLS in transit.
        variables = properties.get("Environment", {}).get("Variables", {})
        if "REDIS_URL" in variables:
            url = variables["REDIS_URL"]["Fn::Sub"]
            assert url.startswith("rediss://")
            variables["REDIS_URL"]["Fn::Sub"] = url.replace("rediss://", "redis://")


def deploy(endpoint: str) -> Bundle:
    """Uploads the built functions and creates the stack of the real template."""
    session = boto3.Session("test", "test", region_name="us-east-1")
    config = Config(retries={"total_max_attempts": 1}, read_timeout=90)

    def client(name: str) -> Any:
        return session.client(name, endpoint_url=endpoint, config=config)

    storage, cloudformation = client("s3"), client("cloudformation")
    storage.create_bucket(Bucket=BUCKET)
    client("ses").verify_domain_identity(Domain=PARAMETERS["MailIdentity"])
    body = template()
    for function in functions(body).values():
        # What `sam package` does.
        package = Path(function["Properties"]["CodeUri"]).name
        storage.put_object(Bucket=BUCKET, Key=package, Body=bootstrap(package))
        function["Properties"]["CodeUri"] = f"s3://{BUCKET}/{package}"
    for_ministack(body)
    # What `sam deploy` does: a template of more than 51,200 bytes has to come from S3.
    storage.put_object(Bucket=BUCKET, Key="template.json", Body=json.dumps(body))
    cloudformation.create_stack(
        StackName=STACK,
        TemplateURL=f"{endpoint}/{BUCKET}/template.json",
        Parameters=[
            {"ParameterKey": name, "ParameterValue": value}
            for name, value in PARAMETERS.items()
        ],
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
        reasons = {
            it["LogicalResourceId"]: it.get("ResourceStatusReason") for it in events
        }
        raise AssertionError(
            f"{stack()['StackStatus']}: {json.dumps(reasons, indent=2)}"
        )
    return Bundle(client, endpoint, stack()["Outputs"])
