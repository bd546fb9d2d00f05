"""An assignee change at Azure DevOps, from the webhook to the API."""

import json
import socket
from typing import Any
from urllib.parse import quote

from acme import Acme
from bundle import Answer, Bundle, Json, eventually
from deployment import ROOT


def ask(redis: Any, *words: str) -> bytes:
    """What Redis answers to a command."""
    with socket.create_connection(("127.0.0.1", redis.port), timeout=5) as connection:
        connection.sendall(" ".join(words).encode() + b"\r\n")
        return connection.recv(1024)


def test_an_assignment_and_an_unassignment_reach_the_issue_once_however_often_they_are_delivered(
    acme: Acme,
) -> None:
    ana, bo, _ = acme.people
    acme.assign(1, ana)
    eventually(lambda: acme.assignee() == ana, "the API shows Ana")
    acme.assign(2, bo)
    eventually(lambda: acme.assignee() == bo, "the API shows Bo")
    acme.unassign(3)
    eventually(lambda: acme.assignee() is None, "the API shows nobody")
    acme.bundle.settle()
    assert acme.activity() == [f"assigned {ana}", f"assigned {bo}", "unassigned"]


def test_an_unassignment_clears_what_redis_remembers_of_the_owners(
    acme: Acme, redis: Any
) -> None:
    ana = acme.people[0]
    families = ["assignee_exists", "owner_exists"]
    keys = [f"{family}:1:{acme.group}" for family in families]
    for revision, here in [(1, False), (3, True)]:
        for key in keys:
            assert ask(redis, "SET", key, "1") == b"+OK\r\n"
        acme.assign(revision, ana)
        eventually(lambda: acme.assignee() == ana, "the API shows Ana")
        assert ask(redis, "EXISTS", *keys) == b":2\r\n"
        if here:
            assert acme.put({"assignedTo": None}).status == 200
        else:
            acme.unassign(revision + 1)
        eventually(
            lambda: ask(redis, "EXISTS", *keys) == b":0\r\n", "the caches are clear"
        )


def test_an_older_revision_after_a_newer_one_changes_nothing(acme: Acme) -> None:
    ana, bo, _ = acme.people
    acme.assign(5, ana)
    acme.bundle.settle()
    acme.assign(4, bo)
    acme.unassign(3)
    acme.bundle.settle()
    assert acme.assignee() == ana
    assert acme.activity() == [f"assigned {ana}"]


def test_a_person_without_access_changes_nothing(acme: Acme) -> None:
    acme.assign(1, acme.people[2])
    acme.bundle.settle()
    assert acme.assignee() is None
    assert acme.activity() == []


def test_a_wrong_secret_is_refused_and_nothing_is_sent(
    acme: Acme, bundle: Bundle
) -> None:
    body = acme.work_item(1, {"newValue": f"Ana <{acme.people[0]}>"})
    wrong = ["wrong-and-short", "f" * len(acme.secret)]
    bundle.secrets |= set(wrong)
    with bundle.paused("IssueSyncMapping"):
        for secret in wrong:
            answer = acme.post(body, secret)
            assert (answer.status, answer.body) == (401, b""), answer
        queue = bundle.name("IssueSyncQueue")
        assert bundle.count(queue) == 0
        # The same with the right secret is on the queue: what was asked is what would have shown a message.
        assert acme.post(body).status == 200
        assert bundle.count(queue) == 1
    eventually(lambda: acme.assignee() == acme.people[0], "the API shows Ana")


def test_a_change_through_the_api_is_to_reach_the_tracker_and_tells_why_it_cannot(
    acme: Acme,
) -> None:
    ana = acme.people[0]
    answer = acme.put({"assignedTo": ana})
    assert answer.status == 200, answer
    assert acme.assignee() == ana
    expected = ["vsts suppressed no_identity"]
    eventually(lambda: acme.told() == expected, "the trail says why")
    acme.bundle.settle()
    assert acme.activity() == [f"assigned {ana}"]


def test_a_project_is_made_through_the_api_with_a_key_that_names_it(
    acme: Acme,
) -> None:
    acme.bundle.operator(
        "set-role", organization=acme.slug, email=acme.people[0], role="owner"
    )
    url = f"{acme.bundle.outputs['ApiUrl']}/api/0/teams/{acme.slug}/web-team/projects/"
    headers = {
        "Authorization": f"Bearer {acme.token}",
        "Content-Type": "application/json",
    }
    answer = acme.bundle.request("POST", url, headers, json.dumps({"name": "New one"}))
    assert answer.status == 201, answer
    project = answer.json()
    assert project["slug"] == "new-one"
    (key,) = acme.get(f"/api/0/projects/{acme.slug}/new-one/keys/")
    assert key["dsn"]["public"].endswith(f"/{project['id']}")


def test_a_release_gets_its_commits_and_a_deploy_and_goes_again(acme: Acme) -> None:
    # What a URL has to encode, but for what ministack decodes to something else, see test_paths.py.
    version = "web@1.0+5 ü"
    base = f"/api/0/organizations/{acme.slug}/releases/"
    release = f"{base}{quote(version, safe='')}/"
    headers = {
        "Authorization": f"Bearer {acme.token}",
        "Content-Type": "application/json",
    }

    def send(method: str, path: str, body: Json) -> Answer:
        url = acme.bundle.outputs["ApiUrl"] + path
        return acme.bundle.request(method, url, headers, json.dumps(body))

    for status in [201, 208]:
        answer = send("POST", base, {"version": version, "projects": ["web"]})
        assert (answer.status, answer.json()["version"]) == (status, version), answer
    commits = [
        {"id": f"{n:040}", "repository": "acme/web", "author_email": "ann@example.com"}
        for n in range(3)
    ]
    answer = send("PUT", release, {"commits": commits})
    assert (answer.status, answer.json()["commitCount"]) == (200, 3), answer
    shas = [it["id"] for it in acme.get(f"{release}commits/")]
    assert shas == [it["id"] for it in commits]
    answer = send("POST", f"{release}deploys/", {"environment": "production"})
    assert answer.status == 201, answer
    (deploy,) = acme.get(f"{release}deploys/")
    assert deploy["environment"] == "production"
    (listed,) = acme.get(base)
    assert (listed["version"], listed["deployCount"]) == (version, 1)
    answer = send("DELETE", release, {})
    assert (answer.status, answer.body) == (204, b""), answer
    assert acme.bundle.get(release, acme.token).status == 404
    # What belonged to it goes when whatever knew it is over.
    acme.bundle.hurry()
    acme.bundle.settle()


def test_a_deleted_project_is_hidden_at_once_and_goes_with_its_keys(
    acme: Acme, bundle: Bundle
) -> None:
    project = bundle.operator(
        "create-project",
        organization=acme.slug,
        team="web-team",
        slug="old",
        name="Old",
    )["project"]["id"]
    # Whoever may delete projects: a member of the team may not.
    token = bundle.operator(
        "create-token", organization=acme.slug, name="deletes", scopes="all"
    )["token"]["text"]
    bundle.secrets.add(token)
    path = f"/api/0/projects/{acme.slug}/old/"
    headers = {"Authorization": f"Bearer {token}"}
    answer = bundle.request("DELETE", bundle.outputs["ApiUrl"] + path, headers)
    assert (answer.status, answer.body) == (204, b""), answer
    assert bundle.get(path, token).status == 404

    def deletion() -> dict:
        answer = bundle.get(
            f"/api/0/organizations/{acme.slug}/deletions/{project}/", token
        )
        assert answer.status == 200, answer
        return answer.json()

    eventually(lambda: deletion()["pass"] == 2, "the first pass is over")
    bundle.hurry()
    eventually(lambda: deletion()["status"] == "finished", "the project is deleted")
    assert deletion()["progress"] == 100
    timer = json.loads((ROOT / "events" / "jobs.timer.json").read_text())
    bundle.invoke(bundle.name("Jobs"), timer)
    bundle.settle()
    left = bundle.dynamodb.scan(
        TableName=bundle.outputs["TableName"], ConsistentRead=True
    )["Items"]
    kinds = {
        it["PK"]["S"].split("#")[0] for it in left if project in json.dumps(it)
    }
    assert kinds == {"ORG", "TOMBSTONE"}, kinds


def test_a_ref_sends_for_commits_and_what_nobody_can_be_asked_for_is_not_waited_for(
    acme: Acme, bundle: Bundle
) -> None:
    bundle.operator(
        "create-repository",
        organization=acme.slug,
        name="acme/web",
        provider="git",
        url="https://git.example/acme/web",
    )
    token = bundle.operator(
        "create-token", organization=acme.slug, name="ci", scopes=["org:ci"]
    )["token"]["text"]
    bundle.secrets.add(token)
    url = f"{bundle.outputs['ApiUrl']}/api/0/organizations/{acme.slug}/releases/"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    body = {
        "version": "fetched@1.0",
        "projects": ["web"],
        "refs": [{"repository": "acme/web", "commit": "abc"}],
    }
    answer = bundle.request("POST", url, headers, json.dumps(body))
    assert answer.status == 201, answer

    def fetches() -> Any:
        rows = bundle.dynamodb.scan(
            TableName=bundle.outputs["TableName"], ConsistentRead=True
        )["Items"]
        own = [it for it in rows if it["PK"]["S"].endswith("#fetched@1.0")]
        return [it["fetches"]["M"] for it in own]

    eventually(lambda: fetches() == [{}], "the function has ended the fetch")
    bundle.settle()
