"""What happens without Redis: only new organizations, teams and projects wait."""

from collections.abc import Iterator
from typing import Any

import pytest
from acme import Acme
from bundle import Bundle, FunctionError, eventually

UNREACHABLE = "the snowflake sequence cannot be reached"


@pytest.fixture
def no_redis(acme: Acme, redis: Any) -> Iterator[Any]:
    """Redis ends while everything is set up and the functions are warm. Afterwards it is there again."""
    acme.bundle.expect_error("-operator", UNREACHABLE)
    acme.assign(1, acme.people[0])
    eventually(lambda: acme.assignee() == acme.people[0], "the API shows Ana")
    port = redis.port
    redis.kill()
    yield redis
    if redis.process is None:
        redis.start(port)


def the_rest_works(acme: Acme) -> None:
    """Webhook, API, and commands that find what is there or make what needs no snowflake."""
    bundle, bo = acme.bundle, acme.people[1]
    acme.assign(2, bo)
    eventually(lambda: acme.assignee() == bo, "the API shows Bo")
    found = bundle.operator("create-organization", slug=acme.slug, name="Acme")
    assert (found["created"], found["organization"]["slug"]) == (False, acme.slug)
    assert bundle.operator(
        "create-issue", organization=acme.slug, project="web", title="Oops"
    )["created"]


def creating_waits_and_then_works(bundle: Bundle, redis: Any, slug: str) -> None:
    cold = bundle.cold_starts(bundle.name("Operator"))
    for _ in range(2):
        with pytest.raises(FunctionError, match=UNREACHABLE):
            bundle.operator("create-organization", slug=slug, name="New")
    redis.start(redis.port)
    assert bundle.operator("create-organization", slug=slug, name="New")["created"]
    assert bundle.cold_starts(bundle.name("Operator")) == cold, (
        "the very same process goes on"
    )


def test_functions_that_are_warm_go_on_without_redis(acme: Acme, no_redis: Any) -> None:
    the_rest_works(acme)
    creating_waits_and_then_works(acme.bundle, no_redis, f"{acme.slug}-new")


def test_functions_start_without_redis(acme: Acme, no_redis: Any) -> None:
    bundle = acme.bundle
    functions = [bundle.name(name) for name in ["Operator", "Api", "WebhookIngest"]]
    before = [bundle.cold_starts(function) for function in functions]
    for function in functions:
        bundle.restart(function)
    the_rest_works(acme)
    assert [bundle.cold_starts(function) for function in functions] == [
        count + 1 for count in before
    ]
    creating_waits_and_then_works(bundle, no_redis, f"{acme.slug}-new")
