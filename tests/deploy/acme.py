"""An organization of a test's own, set up as an installation is, with an issue linked to a work item."""

import json
import uuid
from dataclasses import dataclass
from typing import Any

from bundle import Answer, Bundle, Json


@dataclass
class Acme:
    """An organization that gets an issue's assignee from Azure DevOps."""

    bundle: Bundle
    slug: str
    collection: str
    secret: str
    token: str
    group: str
    people: list[str]

    @classmethod
    def seed(cls, bundle: Bundle) -> "Acme":
        """Everything is made through the operator, as in an installation."""
        slug = f"acme-{uuid.uuid4().hex[:8]}"
        here = {"organization": slug}
        run = bundle.operator
        run("create-organization", slug=slug, name="Acme")
        run("create-team", **here, slug="web-team", name="Web team")
        people = [f"{name}@{slug}.example" for name in ["ana", "bo", "cy"]]
        for email, teams in zip(people, [["web-team"], ["web-team"], []], strict=True):
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
            switches={"inbound_assignee": True, "outbound_assignee": True},
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

    def put(self, change: Json) -> Answer:
        """Changes the issue through the API."""
        url = f"{self.bundle.outputs['ApiUrl']}/api/0/issues/{self.group}/"
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
        }
        return self.bundle.request("PUT", url, headers, json.dumps(change))

    def post_json(self, path: str, body: Json) -> Answer:
        """Posts to the API."""
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
        }
        url = self.bundle.outputs["ApiUrl"] + path
        return self.bundle.request("POST", url, headers, json.dumps(body))

    def told(self) -> list[str]:
        """How telling the trackers ended, in words, oldest first."""
        rows = self.get(f"/api/0/issues/{self.group}/sync/")
        outbound = [it for it in reversed(rows) if it["direction"] == "outbound"]
        return [f"{it['provider']} {it['outcome']} {it['reason']}" for it in outbound]

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
