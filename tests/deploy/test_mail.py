"""Mails through SES, as a deployed function sends them."""

import json

from acme import Acme
from bundle import Answer, Bundle, eventually


def test_who_has_a_commit_in_a_deployed_release_gets_one_mail(
    acme: Acme, bundle: Bundle
) -> None:
    ana, bo, _ = acme.people
    here = f"/api/0/organizations/{acme.slug}/releases/"
    commit = {"id": "abc", "author_email": ana, "message": "Mend it"}
    release = {"version": "web@1.0", "projects": ["web"], "commits": [commit]}
    assert acme.post_json(here, release).status == 201
    deploy = {"environment": "production"}
    assert acme.post_json(f"{here}web@1.0/deploys/", deploy).status == 201
    eventually(lambda: bundle.mails(ana), "Ana gets a mail")
    bundle.settle()
    subjects = [mail["Subject"] for mail in bundle.mails(ana)]
    assert subjects == ["Re: web@1.0 was deployed to production"]
    assert bundle.mails(bo) == []


def test_who_wants_to_hear_of_every_deploy_does_and_who_wants_none_does_not(
    acme: Acme, bundle: Bundle
) -> None:
    ana, bo, _ = acme.people
    run = bundle.operator
    token = run("create-token", email=bo, name="bo", scopes=["org:ci"])["token"]["text"]
    bundle.secrets.add(token)
    url = f"{bundle.outputs['ApiUrl']}/api/0/users/me/notification-options/"

    def send(method: str, path: str, token: str, body: str = "") -> Answer:
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
        }
        return bundle.request(method, url + path, headers, body)

    project = acme.get(f"/api/0/projects/{acme.slug}/web/")["id"]
    for of, scope, identifier, value in [
        (token, "user", "me", "always"),
        (acme.token, "project", project, "never"),
    ]:
        said = {"type": "deploy", "scopeType": scope, "scopeIdentifier": identifier}
        answer = send("PUT", "", of, json.dumps(said | {"value": value}))
        assert answer.status == 201, answer
    here = f"/api/0/organizations/{acme.slug}/releases/"
    commit = {"id": "abc", "author_email": ana, "message": "Mend it"}
    release = {"version": "web@1.0", "projects": ["web"], "commits": [commit]}
    assert acme.post_json(here, release).status == 201
    deploy = {"environment": "production"}
    assert acme.post_json(f"{here}web@1.0/deploys/", deploy).status == 201
    eventually(lambda: bundle.mails(bo), "Bo gets a mail")
    bundle.settle()
    assert (len(bundle.mails(bo)), bundle.mails(ana)) == (1, [])
    answer = send("DELETE", "deploy-user/", token)
    assert (answer.status, send("GET", "", token).json()) == (204, [])
