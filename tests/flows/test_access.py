"""Who passes the wrapper that every server runs behind, asked without any server."""

import asyncio
import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import StepError
from flows import access, attempts, audit_log, secret_files
from flows.tokens import Tokens

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
        sent, scope = ask([("host", HOST), HEADER, ("accept", "text/html")], path=asked, stored=["key"])
        assert scope is None
        assert f'localStorage.setItem("key", "{access.basic(AUTH)}")'.encode() in sent[1]["body"]
        cookie = dict(sent[0]["headers"])[b"set-cookie"].decode()
        assert AUTH not in cookie
    again = [("host", HOST), HEADER, ("accept", "text/html"), ("cookie", cookie.partition(";")[0])]
    assert status(again, stored=["key"]) == 200
    assert ask(again, stored=["key"])[1] is not None
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
    wrapped = access.Access(application, AUTH, [HOST], readers=True, stored=["secret"])
    scope = {"type": kind, "path": path, "headers": [(n.encode("latin-1"), v.encode("latin-1")) for n, v in headers]}
    if kind == "http":
        scope["method"] = method
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(wrapped(scope, None, send))
    assert not application.scopes
    assert AUTH.encode() not in b"".join(message.get("body", b"") for message in sent)


@pytest.mark.parametrize("auth", ["x", "operator", "operator:", "operator:short", ":correct-horse-battery-staple"])
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


def test_a_server_starts_only_with_the_operators_credentials():
    assert access.server_auth({access.AUTH: AUTH}, "panel") == AUTH
    for environment in ({}, {access.AUTH: "anna:correct-horse-battery-staple"}):
        with pytest.raises(StepError, match=r"panel: .*set PHIFORGE_AUTH to `operator:SECRET`"):
            access.server_auth(environment, "panel")


@pytest.fixture
def tokens(tmp_path):
    (tmp_path / ".phiforge").mkdir()
    return Tokens(tmp_path)


def as_user(auth):
    return ("authorization", "Basic " + access.basic(auth))


@pytest.mark.parametrize("role", ["operator", "worker", "reader"])
def test_a_token_opens_the_servers_of_its_role_until_it_is_revoked(tokens, role):
    login = as_user("anna:" + tokens.create("anna", role))
    team = access.Team(Tokens(tokens.file.parents[1]))
    panel, servers = {"readers": True, "team": team}, {"team": team}
    assert (status([("host", HOST), login], **panel) == 200) == (role != "worker")
    assert (status([("host", HOST), login], **servers) == 200) == (role != "reader")
    assert status([("host", HOST), as_user("anna:" + "x" * 32)], **panel) == 401
    assert tokens.file.stat().st_mode & 0o777 == 0o600
    tokens.revoke("anna")
    assert {status([("host", HOST), login], **kind) for kind in (panel, servers)} == {401}


def test_the_application_learns_who_asks_and_never_sees_a_token_where_it_checks_itself(tokens):
    secret = tokens.create("anna", "worker")
    team = access.Team(tokens)
    given = [("host", HOST), as_user(f"anna:{secret}"), ("X-Phiforge-User", "operator")]
    headers = dict(ask(given, path="/api/flows", own_login="/api", team=team)[1]["headers"])
    assert headers[b"authorization"].decode() == HEADER[1]
    assert (headers[b"x-phiforge-user"], headers[b"x-phiforge-role"]) == (b"anna", b"worker")
    # A stranger's credentials are left to the application, which refuses them.
    stranger = dict(
        ask([("host", HOST), as_user("anna:guess")], path="/api/x", own_login="/api", team=team)[1]["headers"]
    )
    assert (stranger[b"authorization"].decode(), stranger[b"x-phiforge-role"]) == (as_user("anna:guess")[1], b"")


def test_a_token_in_the_first_message_of_a_socket_becomes_the_operators(tokens):
    secret = tokens.create("anna", "worker")
    said = []

    async def application(scope, receive, send):
        said.append(json.loads((await receive())["text"])["token"])

    async def ask_with(token):
        async def receive():
            return {"type": "websocket.receive", "text": json.dumps({"type": "auth", "token": token})}

        wrapped = access.Access(application, AUTH, [HOST], own_login="/api", team=access.Team(tokens))
        scope = {"type": "websocket", "path": "/api/events/in", "headers": [(b"host", HOST.encode())]}
        await wrapped(scope, receive, None)

    for token in (f"anna:{secret}", "anna:guess", AUTH):
        asyncio.run(ask_with(token))
    assert said == [AUTH, "anna:guess", AUTH]


@pytest.mark.parametrize("name", ["operator", "reader", "Anna", "", "a b", "../x"])
def test_a_token_has_a_plain_name_of_its_own(tokens, name):
    with pytest.raises(StepError, match="expected a name of small letters"):
        tokens.create(name, "reader")
    tokens.create("anna", "reader")
    with pytest.raises(StepError, match="this token exists"):
        tokens.create("anna", "operator")
    with pytest.raises(StepError, match="expected one of: anna"):
        tokens.revoke("bert")


def test_wrong_credentials_through_a_proxy_are_limited_by_address():
    team = access.Team(proxied=True)

    def answer(login, address, team=team):
        return status([("host", HOST), login, ("x-forwarded-for", f"203.0.113.9, {address}")], team=team)

    wrong = as_user("operator:guess")
    guesses = [answer(wrong, "198.51.100.1") for _ in range(attempts.FAILURES + 2)]
    assert guesses == [401] * attempts.FAILURES + [429] * 2
    assert answer(HEADER, "198.51.100.1") == 429
    assert answer(HEADER, "198.51.100.2") == 200
    assert {answer(wrong, "198.51.100.1", access.Team()) for _ in range(attempts.FAILURES + 2)} == {401}


def test_requests_of_one_address_are_limited(monkeypatch):
    monkeypatch.setattr(attempts.time, "monotonic", lambda: 1.0)
    seen = attempts.Attempts()
    assert [seen.refuses("a") for _ in range(int(attempts.BURST) + 1)] == [False] * int(attempts.BURST) + [True]
    assert not seen.refuses("b")
    monkeypatch.setattr(attempts.time, "monotonic", lambda: 2.0)
    assert not seen.refuses("a")


@pytest.mark.parametrize(
    ("method", "path", "act"),
    [
        ("POST", "/api/deployments/1f/create_flow_run", "launch"),
        ("DELETE", "/api/flow_runs/1f", "delete"),
        ("PATCH", "/api/deployments/1f/schedules/2", "change"),
        ("POST", "/api/2.0/mlflow/registered-models/alias", "promote"),
        ("DELETE", "/ajax-api/2.0/mlflow/model-versions/delete", "delete"),
        ("POST", "/api/flow_runs/filter", ""),
        ("POST", "/api/flow_runs/1f/set_state", ""),
        ("POST", "/api/logs/", ""),
        ("POST", "/api/2.0/mlflow/runs/log-batch", ""),
    ],
)
def test_the_audit_log_has_what_people_change(tmp_path, capsys, monkeypatch, method, path, act):
    (tmp_path / ".phiforge").mkdir()
    monkeypatch.setenv("PHIFORGE_HOME", str(tmp_path))
    audit_log.record(tmp_path, "anna", method, path, 201, "198.51.100.1")
    assert audit_log.main([]) == 0
    said = capsys.readouterr().out.split()[2:]
    assert said == (["anna", act, path, method, "201", "198.51.100.1"] if act else [])


def test_secrets_of_compose_are_private_outside_the_project_and_stay(tmp_path, monkeypatch, capsys):
    project, folder = tmp_path / "project", tmp_path / "secrets"
    project.mkdir()
    monkeypatch.chdir(project)
    assert secret_files.main(["--folder", str(folder), "--domain", "ml.example.org"]) == 0
    files = {file.name: file.read_text() for file in folder.iterdir()}
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert access.given_auth({access.AUTH_FILE: str(folder / "auth")})
    for name in secret_files.DATABASES:
        password = files[f"{name}.pgpass"].strip().rpartition(":")[2]
        assert len(password) >= 32
        assert f"ROLE {name} LOGIN PASSWORD '{password}'" in files["databases.sql"]
    env = (project / ".env").read_text()
    assert "PHIFORGE_HOSTS=ml.example.org,prefect.ml.example.org,mlflow.ml.example.org\n" in env
    assert not [name for name, text in files.items() if any(len(word) > 19 and word in env for word in text.split())]
    assert secret_files.main(["--folder", str(folder)]) == 0
    assert files == {file.name: file.read_text() for file in folder.iterdir()}
    (folder / "prefect.pgpass").unlink()
    assert secret_files.main(["--folder", str(folder)]) == 1
    assert secret_files.main(["--folder", str(project / "secrets")]) == 1
    assert "prefect.pgpass missing" in capsys.readouterr().err
