"""Paths whose encoding matters, over the REST API.

AWS hands the path to the function as the client encoded it and the function decodes each segment once. ministack
decodes it before, so the function decodes for the second time: `%2541` arrives as `%41` and becomes `A`, and an
encoded slash is one that parts segments. What a path means is therefore tested on one machine (tests/e2e/api.rs);
here it is that every such path reaches our function, behind its stage, and is answered by it.
"""

from acme import Acme
from bundle import Bundle

MISSING = {"detail": "The requested resource does not exist"}


def test_an_awkward_segment_is_answered_by_the_function_in_the_shape_of_sentry(
    acme: Acme,
) -> None:
    for segment in [
        "web@1.0",
        "%2541",
        "a%20b",
        "%23",
        "%C3%BC",
        "a+b",
        "x%3Fy",
        "%252F",
        "..",
        "%00",
    ]:
        answer = acme.bundle.get(f"/api/0/organizations/{segment}/", acme.token)
        assert (answer.status, answer.json()) == (404, MISSING), (segment, str(answer))


def test_a_slug_whose_letters_are_encoded_is_the_slug(acme: Acme) -> None:
    encoded = acme.slug.replace("a", "%61")
    assert acme.get(f"/api/0/organizations/{encoded}/")["slug"] == acme.slug


def test_the_stage_is_no_part_of_the_route_and_nothing_is_routed_beside_it(
    bundle: Bundle,
) -> None:
    assert bundle.get("/api/0/").status == 401
    elsewhere = bundle.outputs["ApiUrl"].removesuffix("/v1")
    assert bundle.request("GET", f"{elsewhere}/api/0/").status in (403, 404)


def test_a_query_reaches_the_function_as_it_was_sent(acme: Acme) -> None:
    answer = acme.bundle.get("/api/0/organizations/?per_page=0", acme.token)
    assert answer.status == 400, answer
