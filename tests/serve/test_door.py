"""Who is let in."""

import httpx2
import pytest

from tests.serve.conftest import serving

TOKEN = "0123456789abcdefgh"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:80@localhost"}, 200),
        ({"Host": "localhost.evil.example"}, 403),
    ],
)
def test_pages_of_other_sites_and_names_of_other_machines_are_kept_out(client, image, headers, status):
    answer = client.post("/v1/score", files=image, data={"caption": "a dog"}, headers=headers)
    assert answer.status_code == status


def test_its_own_page_is_let_in(client, server, image):
    answer = client.post("/v1/score", files=image, data={"caption": "a dog"}, headers={"Origin": server[0]})
    assert answer.status_code == 200


def test_answers_are_kept_by_nobody_and_framed_by_nobody_else(client):
    headers = client.get("/").headers
    assert headers["cache-control"] == "no-store" and headers["x-frame-options"] == "SAMEORIGIN"
    assert "default-src 'none'" in headers["content-security-policy"]


def test_a_token_is_asked_for(bundled, image):
    with serving(bundled, TOKEN) as (address, _), httpx2.Client(base_url=address, timeout=60) as client:

        def status(**headers):
            return client.post("/v1/score", files=image, data={"caption": "a dog"}, headers=headers).status_code

        assert client.get("/healthz").status_code == 200
        assert client.get("/").status_code == client.get("/openapi.json").status_code == status() == 401
        assert status(Authorization="Bearer 0123456789abcdefgx") == 401
        assert status(Authorization=f"Basic {TOKEN}") == 401
        assert status(Authorization=f"Bearer {TOKEN}") == 200
        assert status(Cookie="copo_token=ü".encode()) == 401
        # The page is opened once with the token, which a cookie keeps from there on.
        assert client.get("/", params={"token": "wrong"}).status_code == 401
        answer = client.get("/", params={"token": TOKEN})
        assert answer.status_code == 303 and answer.headers["location"] == "/"
        assert "HttpOnly" in answer.headers["set-cookie"] and "SameSite=strict" in answer.headers["set-cookie"]
        assert status() == 200
        assert status(Origin="http://evil.example") == 403
