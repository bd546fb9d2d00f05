"""Mails through SES, as a deployed function sends them."""

from acme import Acme
from bundle import Bundle, eventually


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
