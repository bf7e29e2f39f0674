"""Who passes the wrapper that every server runs behind, asked without any server."""

import asyncio
import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import StepError
from flows import access

AUTH = "operator:correct-horse-battery-staple"
HOST = "127.0.0.1:4200"
HEADER = ("authorization", f"Basic {access.basic(AUTH)}")


class Application:
    """Notes what reaches it."""

    def __init__(self):
        self.scopes = []

    async def __call__(self, scope, receive, send):
        self.scopes.append(scope)
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"inside"})
        else:
            await send({"type": "websocket.accept"})


def ask(headers, path="/", method="GET", kind="http", **options):
    """What the wrapper answers, and the scope that the application saw, if it saw one."""
    application = Application()
    wrapped = access.Access(application, AUTH, [HOST], **options)
    scope = {"type": kind, "path": path, "headers": [(n.encode(), v.encode()) for n, v in headers]}
    if kind == "http":
        scope["method"] = method
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request", "body": b""}

    asyncio.run(wrapped(scope, receive, send))
    return sent, (application.scopes or [None])[0]


def status(headers, **options):
    sent, _ = ask(headers, **options)
    return sent[0].get("status", sent[0]["type"])


def test_the_operator_passes_and_nobody_else():
    assert status([("host", HOST), HEADER]) == 200
    assert status([("host", HOST)]) == 401
    for wrong in ("", "Basic", "Basic !!!", "Basic " + access.basic("operator:guess"), "Bearer " + access.basic(AUTH)):
        assert status([("host", HOST), ("authorization", wrong)]) == 401
    twice = [("host", HOST), ("authorization", "Basic " + access.basic("operator:guess")), HEADER]
    assert status(twice) == 401


def test_a_browser_is_asked_for_the_credentials():
    sent, _ = ask([("host", HOST)])
    assert dict(sent[0]["headers"])[b"www-authenticate"].startswith(b"Basic")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:4201", "", "127.0.0.1:4200.evil.example"])
def test_another_host_is_refused_whoever_asks(host):
    assert status([("host", host), HEADER]) == 421
    assert status([("host", HOST), ("host", host), HEADER]) == 421
    assert status([HEADER]) == 421


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "http://127.0.0.1", ""])
def test_a_page_of_another_origin_is_refused_with_the_credentials_that_a_browser_adds(origin):
    assert status([("host", HOST), HEADER, ("origin", origin)], method="POST") == 403
    assert status([("host", HOST), HEADER, ("origin", origin)], kind="websocket", path="/x") == "websocket.close"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_a_browser_sends_for_another_page_is_refused_unless_a_person_followed_a_link(site):
    fetched = [("host", HOST), HEADER, ("sec-fetch-site", site), ("sec-fetch-mode", "no-cors")]
    assert status([*fetched, ("sec-fetch-dest", "image")]) == 403
    followed = [("host", HOST), HEADER, ("sec-fetch-site", site), ("sec-fetch-mode", "navigate")]
    assert status([*followed, ("sec-fetch-dest", "iframe")]) == 403
    assert status([*followed, ("sec-fetch-dest", "document")]) == 200
    assert status([*followed, ("sec-fetch-dest", "document")], method="POST") == 403


def test_own_and_named_origins_pass():
    for origin in (f"http://{HOST}", "http://127.0.0.1:8501"):
        headers = [("host", HOST), HEADER, ("origin", origin), ("sec-fetch-site", "same-site")]
        assert status(headers, origins=["http://127.0.0.1:8501"], method="POST") == 200


def test_only_get_is_open_on_an_open_path():
    assert status([("host", HOST)], path="/health", open_paths=["/health"]) == 200
    assert status([("host", HOST)], path="/health", open_paths=["/health"], method="POST") == 401
    assert status([("host", HOST)], path="/health/", open_paths=["/health"]) == 401
    assert status([("host", "evil")], path="/health", open_paths=["/health"]) == 421


def test_an_application_that_checks_by_itself_does_so_below_its_path_only():
    assert status([("host", HOST)], path="/api/x", own_login="/api") == 200
    assert status([("host", HOST)], path="/apix", own_login="/api") == 401
    assert status([("host", HOST), ("origin", "http://evil")], path="/api/x", own_login="/api") == 403


def test_a_closed_part_is_closed_to_the_operator_too():
    closed = {"closed": ["/mlflow/assistant/"]}
    assert status([("host", HOST), HEADER], path="/ajax-api/3.0/mlflow/assistant/config", **closed) == 403
    assert status([("host", HOST), HEADER], path="/ajax-api/3.0/mlflow/server-info", **closed) == 200


def test_a_reader_passes_only_where_readers_are_known(monkeypatch):
    reader = ("authorization", "Basic " + access.basic("reader:only-for-looking-at-it"))
    monkeypatch.setenv(access.READER_SECRET, "only-for-looking-at-it")
    _, scope = ask([("host", HOST), reader], readers=True)
    assert (b"x-phiforge-role", b"reader") in scope["headers"]
    assert status([("host", HOST), reader]) == 401


def test_nobody_names_their_own_role(monkeypatch):
    monkeypatch.setenv(access.READER_SECRET, "only-for-looking-at-it")
    reader = ("authorization", "Basic " + access.basic("reader:only-for-looking-at-it"))
    _, scope = ask([("host", HOST), reader, ("X-Phiforge-Role", "operator")], readers=True)
    assert [value for name, value in scope["headers"] if name.lower() == b"x-phiforge-role"] == [b"reader"]


def test_pages_load_nothing_from_elsewhere_and_stand_in_no_other_frame():
    sent, _ = ask([("host", HOST), HEADER])
    policy = dict(sent[0]["headers"])[b"content-security-policy"].decode()
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'self'" in policy
    assert "http:" not in policy
    assert "https:" not in policy


def test_the_landing_page_stores_the_login_and_leads_to_own_pages_only():
    for asked in ("/", access.LANDING):
        sent, scope = ask([("host", HOST), HEADER, ("accept", "text/html")], path=asked, stored={"key": "value"})
        assert scope is None
        assert b'localStorage.setItem("key", "value")' in sent[1]["body"]
        cookie = dict(sent[0]["headers"])[b"set-cookie"].decode()
        assert AUTH not in cookie
    again = [("host", HOST), HEADER, ("accept", "text/html"), ("cookie", cookie.partition(";")[0])]
    assert status(again, stored={"key": "value"}) == 200
    assert ask(again, stored={"key": "value"})[1] is not None
    assert ask([("host", HOST), ("accept", "text/html")], path=access.LANDING)[0][0]["status"] == 401


def test_an_address_with_login_lands_on_the_page():
    assert access.with_login("http://h:1", "a:b") == "http://a:b@h:1/phiforge-login"
    assert access.with_login("http://h:1/#/x?y=1", "a:b") == "http://a:b@h:1/phiforge-login?to=%2F%23%2Fx%3Fy%3D1"


names = st.sampled_from(["host", "origin", "cookie", "authorization", "x-phiforge-role", "sec-fetch-site", "upgrade"])
values = st.one_of(
    st.sampled_from([HOST, f"http://{HOST}", "operator", f"Basic {access.basic('operator:')}", "Basic", "same-origin"]),
    st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=40),
)


@given(
    headers=st.lists(st.tuples(names, values), max_size=8),
    path=st.text(max_size=20),
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"]),
    kind=st.sampled_from(["http", "websocket"]),
)
def test_nothing_passes_without_the_secret(headers, path, method, kind):
    application = Application()
    wrapped = access.Access(application, AUTH, [HOST], readers=True, stored={"secret": AUTH})
    scope = {"type": kind, "path": path, "headers": [(n.encode("latin-1"), v.encode("latin-1")) for n, v in headers]}
    if kind == "http":
        scope["method"] = method
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(wrapped(scope, None, send))
    assert not application.scopes
    assert AUTH.encode() not in b"".join(message.get("body", b"") for message in sent)


@pytest.mark.parametrize("auth", ["x", "operator", "operator:", "operator:short", "root:correct-horse-battery-staple"])
def test_weak_or_malformed_credentials_are_refused(auth, tmp_path):
    with pytest.raises(StepError, match=r"expected `operator:SECRET`"):
        access.given_auth({access.AUTH: auth})
    (tmp_path / "auth").write_text(auth)
    with pytest.raises(StepError, match=r"expected `operator:SECRET`"):
        access.given_auth({access.AUTH_FILE: str(tmp_path / "auth")})


def test_credentials_come_from_a_variable_or_a_file(tmp_path):
    (tmp_path / "auth").write_text(AUTH + "\n")
    assert access.given_auth({access.AUTH_FILE: str(tmp_path / "auth")}) == AUTH
    assert access.given_auth({access.AUTH: AUTH, access.AUTH_FILE: "nowhere"}) == AUTH
    assert access.given_auth({}) == ""
    with pytest.raises(StepError, match="cannot be read"):
        access.given_auth({access.AUTH_FILE: str(tmp_path / "missing")})


def test_new_credentials_are_new_and_strong():
    made = {access.new_auth() for _ in range(50)}
    assert len(made) == 50
    assert all(len(base64.urlsafe_b64decode(auth.partition(":")[2])) == 24 for auth in made)


def test_compose_secrets_are_private_and_stay(tmp_path):
    file = tmp_path / ".env"
    assert access.write_compose_secrets(file)
    text = file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    values = dict(line.split("=", 1) for line in text.splitlines())
    assert access.given_auth(values) == values[access.AUTH]
    assert len(values["POSTGRES_PASSWORD"]) >= 32
    assert not access.write_compose_secrets(file)
    assert file.read_text() == text
