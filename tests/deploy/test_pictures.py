"""A picture of an organization, whose bytes come through the HTTP API."""

import base64
import json
import struct

from acme import Acme


def test_a_picture_is_shown_as_the_bytes_that_were_uploaded(acme: Acme) -> None:
    size = struct.pack(">II", 512, 512)
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + size
    # As large as one may be: three pieces, and all kinds of bytes.
    picture = (head + bytes(range(256)) * 4096)[: 1024 * 1024]
    url = f"{acme.bundle.outputs['ApiUrl']}/api/0/organizations/{acme.slug}/"
    headers = {
        "Authorization": f"Bearer {acme.token}",
        "Content-Type": "application/json",
    }
    body = json.dumps({"avatar": base64.b64encode(picture).decode()})
    # Whoever may change it: an organization's own token.
    answer = acme.bundle.request("PUT", url, headers, body)
    assert answer.status == 403, answer
    token = acme.bundle.operator(
        "create-token", organization=acme.slug, name="pictures", scopes=["org:write"]
    )["token"]["text"]
    acme.bundle.secrets.add(token)
    headers["Authorization"] = f"Bearer {token}"
    answer = acme.bundle.request("PUT", url, headers, body)
    assert answer.status == 200, answer
    avatar = answer.json()["avatar"]
    assert avatar["avatarType"] == "upload"
    assert avatar["avatarUrl"].startswith(acme.bundle.outputs["WebhookUrl"] + "/")

    shown = acme.bundle.request("GET", avatar["avatarUrl"])
    assert shown.status == 200, shown
    assert shown.body == picture
    assert shown.headers["content-type"] == "image/png"
    assert shown.headers["x-content-type-options"] == "nosniff"
    other = avatar["avatarUrl"].replace(avatar["avatarUuid"], "0" * 32)
    missing = acme.bundle.request("GET", other)
    assert (missing.status, missing.json()) == (
        404,
        {"detail": "The requested resource does not exist"},
    )
