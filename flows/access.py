"""Access to the platform's servers: credentials, and the ASGI wrapper that every server runs behind.

- A request passes if its Host is a name of the server, it does not come from a page of another origin, and it has the
  platform's credentials (HTTP Basic, RFC 7617).
- Every path needs them unless it is named here, also a route that a later release of Prefect, MLflow or Streamlit adds.
- Browsers keep Basic credentials per origin, port included; a cookie would be sent to every port of 127.0.0.1.
"""

import base64
import binascii
import contextlib
import hashlib
import hmac
import json
import os
import secrets
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, urlsplit, urlunsplit

from components.errors import StepError
from flows.attempts import Attempts

OPERATOR = "operator"  # may do everything
READER = "reader"  # may only view the panel
WORKER = "worker"  # may use Prefect and MLflow, not the panel
LANDING = "/phiforge-login"
ROLE_HEADER = "x-phiforge-role"
USER_HEADER = "x-phiforge-user"  # the name that goes with the role
AUTH = "PHIFORGE_AUTH"  # the operator's `name:secret`, passed from process to process
AUTH_FILE = "PHIFORGE_AUTH_FILE"  # or a file that contains it
READER_SECRET = "PHIFORGE_READER_SECRET"
READER_SECRET_FILE = "PHIFORGE_READER_SECRET_FILE"
BEHIND_PROXY = "PHIFORGE_BEHIND_PROXY"  # any text: visitors come through a proxy that sets X-Forwarded-For
HOSTS = "PHIFORGE_HOSTS"  # further names of the servers, with their ports
ORIGINS = "PHIFORGE_ORIGINS"  # further origins with pages that may call Prefect's API, such as the panel's
MIN_SECRET = 16

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def new_auth() -> str:
    """New credentials of the operator, `operator:<192 random bits>`."""
    return f"{OPERATOR}:{secrets.token_urlsafe(24)}"


def from_file(environment: Mapping[str, str], name: str, file_name: str) -> tuple[str, str]:
    """A secret in the environment, by value or by file, and the variable it comes from; empty if there is none.

    Raises:
        StepError: the file cannot be read.
    """
    if environment.get(name) or not (file := environment.get(file_name)):
        return environment.get(name, ""), name
    try:
        return Path(file).read_text(encoding="utf-8").strip(), f"{file_name} {file}"
    except (OSError, UnicodeDecodeError) as error:
        raise StepError(f"{file_name} {file}: cannot be read ({error}); write the secret into it") from None


def given_auth(environment: Mapping[str, str]) -> str:
    """The credentials in the environment, by value or by file; empty if there are none.

    Raises:
        StepError: the file cannot be read, or the value is not `NAME:SECRET` with a secret of at least 16 characters.
    """
    auth, where = from_file(environment, AUTH, AUTH_FILE)
    name, _, secret = auth.partition(":")
    if auth and (not name or len(secret) < MIN_SECRET):
        raise StepError(
            f"{where}: expected `{OPERATOR}:SECRET`, or the name and secret of a token, with a secret of at least {MIN_SECRET} "
            "characters; `make secrets` or `phiforge token create` writes one"
        )
    return auth


def server_auth(environment: Mapping[str, str], server: str) -> str:
    """The operator's credentials, which a server needs to start.

    Raises:
        StepError: there are none, or they are another user's.
    """
    auth = given_auth(environment)
    if not auth.startswith(f"{OPERATOR}:"):
        given = "the credentials of another user were given" if auth else "no credentials"
        raise StepError(f"{server}: {given}; set {AUTH} to `{OPERATOR}:SECRET`, or run `make up`")
    return auth


def client_variables(auth: str) -> dict[str, str]:
    """The variables from which Prefect's and MLflow's clients read their credentials."""
    user, _, secret = auth.partition(":")
    return {
        AUTH: auth,
        "PREFECT_API_AUTH_STRING": auth,
        "MLFLOW_TRACKING_USERNAME": user,
        "MLFLOW_TRACKING_PASSWORD": secret,
    }


def basic(auth: str) -> str:
    """`name:secret` as written in an Authorization header and in Prefect's page."""
    return base64.b64encode(auth.encode()).decode()


def with_login(address: str, auth: str) -> str:
    """The address that logs a browser in to a server and then opens the page at `address`."""
    parts = urlsplit(address)
    page = urlunsplit(("", "", parts.path or "/", parts.query, parts.fragment))
    return f"{parts.scheme}://{auth}@{parts.netloc}{LANDING}" + ("" if page == "/" else f"?to={quote(page, safe='')}")


@dataclass(frozen=True)
class Refusal:
    """The reason why a request is refused. `challenge` makes a browser ask for the credentials."""

    status: int
    text: str
    challenge: bool = False


class User(NamedTuple):
    """Who sent a request, and the credentials `name:secret` that were accepted; all empty for a stranger."""

    name: str = ""
    role: str = ""
    auth: str = ""


class KnowsRoles(Protocol):
    """Further users, such as `flows.tokens.Tokens`."""

    def role(self, name: str, secret: str) -> str: ...


@dataclass(frozen=True)
class Team:
    """How a server treats more users than the operator.

    Attributes:
        tokens: further credentials.
        record: told of every request of a user that may change something: name, method, path, status, address.
        proxied: whether visitors come through a proxy that writes their address into X-Forwarded-For; their failed logins
            and requests are limited.
    """

    tokens: KnowsRoles | None = None
    record: Callable[[str, str, str, int, str], None] | None = None
    proxied: bool = False
    attempts: Attempts = field(default_factory=Attempts)


class Access:
    """The ASGI wrapper of one server.

    Args:
        app: the application behind it.
        auth: the operator's `name:secret`.
        hosts: `name:port` as clients write them into Host, such as 127.0.0.1:4200.
        origins: further origins with pages that may call this server.
        open_paths: paths that need no credentials, such as a health check.
        own_login: path below which the application checks the same credentials itself, in ways other than HTTP Basic
            (Prefect's websockets send them in their first message).
        closed: parts of paths that are refused with any credentials.
        readers: whether the server is for readers too, such as `reader:$PHIFORGE_READER_SECRET`, or else for workers.
        stored: names of items in the browser's local storage, from which the server's pages read the credentials.
        team: tokens, audit log and proxy.
    """

    def __init__(
        self,
        app: App,
        auth: str,
        hosts: Iterable[str],
        *,
        origins: Iterable[str] = (),
        open_paths: Iterable[str] = (),
        own_login: str = "",
        closed: Iterable[str] = (),
        readers: bool = False,
        stored: Iterable[str] = (),
        team: Team = Team(),
    ) -> None:
        self.app, self.auth, self.team = app, auth, team
        self.roles = {OPERATOR, READER} if readers else {OPERATOR, WORKER}
        self.hosts = frozenset(hosts)
        self.origins = frozenset(origins) | {
            f"{scheme}://{host}" for host in self.hosts for scheme in ("http", "https")
        }
        self.open_paths, self.own_login, self.closed = frozenset(open_paths), own_login, tuple(closed)
        self.accepted = [auth]
        secret, where = from_file(os.environ, READER_SECRET, READER_SECRET_FILE)
        if readers and secret:
            if len(secret) < MIN_SECRET:
                raise StepError(f"{where}: expected at least {MIN_SECRET} characters; choose a longer secret")
            self.accepted.append(f"{READER}:{secret}")
        self.stored = tuple(stored)
        sockets = " ".join(sorted(f"{scheme}://{host}" for host in self.hosts for scheme in ("ws", "wss")))
        # Pages of these servers load only from themselves, whatever text they show; other sites may not frame them.
        self.policy = (
            "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
            f"connect-src 'self' data: blob: {sockets}; "
            "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
        ).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        headers = _headers(scope)
        address = self._address(headers)
        if address and self.team.attempts.refuses(address):
            await _refuse(scope, send, Refusal(429, "too many requests; wait a minute"))
            return
        user = self._user(headers)
        if address and not user.role and headers.get("authorization"):
            self.team.attempts.failed(address)
        if refusal := self._refusal(scope, headers, user.role):
            await _refuse(scope, send, refusal)
            return
        if user.role and self._lands(scope, headers, user):
            await self._land(send, user)
            return
        scope, receive = self._for_application(scope, receive, user)

        async def send_with_policy(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                if user.name and self.team.record and scope["method"] not in {"GET", "HEAD", "OPTIONS"}:
                    self.team.record(user.name, scope["method"], scope["path"], message["status"], address)
                message["headers"] = [
                    *message.get("headers", []),
                    (b"content-security-policy", self.policy),
                    (b"referrer-policy", b"no-referrer"),
                ]
            await send(message)

        await self.app(scope, receive, send_with_policy)

    def _for_application(self, scope: Scope, receive: Receive, user: User) -> tuple[Scope, Receive]:
        """The request as the application gets it: with the user's name and role. An application that checks the operator's
        credentials itself gets those instead of a token."""
        own = {ROLE_HEADER: user.role, USER_HEADER: user.name}
        given = [(name, value) for name, value in scope["headers"] if name.lower().decode("latin-1") not in own]
        if self.own_login and user.role:
            given = [(name, value) for name, value in given if name.lower() != b"authorization"]
            own["authorization"] = f"Basic {basic(self.auth)}"
        scope = dict(scope) | {"headers": [*given, *((name.encode(), value.encode()) for name, value in own.items())]}
        if scope["type"] == "http" or not self.own_login:
            return scope, receive

        async def receive_login() -> MutableMapping[str, Any]:
            message = await receive()
            with contextlib.suppress(ValueError, TypeError, AttributeError):
                first = json.loads(message.get("text") or "")
                if first.get("type") == "auth" and self._known(first.get("token", "")).role:
                    return dict(message) | {"text": json.dumps(first | {"token": self.auth})}
            return message

        return scope, receive_login

    def _address(self, headers: Mapping[str, list[str]]) -> str:
        """The address of a visitor who comes through the proxy, as the proxy wrote it; empty for others."""
        forwarded = headers.get("x-forwarded-for", [])
        return forwarded[-1].rpartition(",")[2].strip() if self.team.proxied and forwarded else ""

    def _refusal(self, scope: Scope, headers: Mapping[str, list[str]], role: str) -> Refusal | None:
        host, origin = headers.get("host", []), headers.get("origin", [])
        if len(host) != 1 or host[0].lower() not in self.hosts:
            return Refusal(421, f"this server does not answer to the host {_shown(host)}")
        if len(origin) > 1 or (origin and origin[0] not in self.origins):
            return Refusal(403, f"pages of {_shown(origin)} may not call this server")
        if not origin and self._from_another_page(scope, headers):
            return Refusal(403, "pages of other sites may not call this server")
        path = scope["path"]
        if scope.get("method") == "GET" and path in self.open_paths:
            return None
        if self.own_login and (path == self.own_login or path.startswith(self.own_login + "/")):
            return None
        if not role:
            return Refusal(401, "log in with the credentials that `make up` printed", challenge=True)
        if any(part in path for part in self.closed):
            return Refusal(403, "this part of the server is closed: it runs commands on this machine")
        return None

    def _landed(self, user: User) -> str:
        """Name of the cookie of a user who has landed. It has no secret: a browser sends cookies to every port of this
        machine."""
        return f"phiforge-{hashlib.sha256((self.auth + user.auth).encode()).hexdigest()[:12]}" if self.stored else ""

    def _lands(self, scope: Scope, headers: Mapping[str, list[str]], user: User) -> bool:
        """Whether a browser gets the landing page: it requests that page, or its first page when items must be stored."""
        if scope.get("method") != "GET":
            return False
        landed = self._landed(user)
        first = landed and "text/html" in "".join(headers.get("accept", []))
        return scope["path"] == LANDING or bool(first and landed not in "".join(headers.get("cookie", [])))

    async def _land(self, send: Send, user: User) -> None:
        headers = [(b"content-type", b"text/html; charset=utf-8"), (b"cache-control", b"no-store")]
        if landed := self._landed(user):
            headers.append((b"set-cookie", f"{landed}=1; Path=/; SameSite=Strict; HttpOnly".encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": _landing_page(dict.fromkeys(self.stored, basic(user.auth)))})

    @staticmethod
    def _from_another_page(scope: Scope, headers: Mapping[str, list[str]]) -> bool:
        """Whether a page of another origin sent this request, and not a person who followed a link."""
        site = headers.get("sec-fetch-site", [""])[0]
        followed = (
            scope.get("method") == "GET"
            and headers.get("sec-fetch-mode") == ["navigate"]
            and headers.get("sec-fetch-dest") == ["document"]
        )
        return site in {"cross-site", "same-site"} and not followed

    def _user(self, headers: Mapping[str, list[str]]) -> User:
        """Whose credentials a request has."""
        given = headers.get("authorization", [])
        scheme, _, encoded = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if scheme.lower() != "basic":
            return User()
        try:
            return self._known(base64.b64decode(encoded.strip(), validate=True).decode())
        except (binascii.Error, ValueError):
            return User()

    def _known(self, auth: str) -> User:
        """The user with these credentials, if this server is for them."""
        name, _, secret = auth.partition(":")
        for accepted in self.accepted:
            if hmac.compare_digest(auth.encode(), accepted.encode()):
                return User(name, accepted.partition(":")[0], auth)
        role = self.team.tokens.role(name, secret) if self.team.tokens else ""
        return User(name, role, auth) if role in self.roles else User()


def hosts_of(port: int) -> set[str]:
    """The names of a server on this port: this machine's, and those in PHIFORGE_HOSTS."""
    added = {name.strip().lower() for name in os.environ.get(HOSTS, "").split(",") if name.strip()}
    return {f"127.0.0.1:{port}", f"localhost:{port}"} | added


def serve(app: App, host: str, port: int, listening: int | None = None) -> None:
    """Run an ASGI application until this process is stopped.

    Args:
        listening: descriptor of a listening socket, shared with the process that started this one.
    """
    import uvicorn

    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=None if listening is None else [socket.socket(fileno=listening)])
    if not server.started:
        sys.exit(1)


def _landing_page(stored: Mapping[str, str]) -> bytes:
    """A page that stores items and then opens the server's own pages at an address without credentials.

    A page with credentials in its address cannot call its server: browsers refuse such requests. The page that is opened
    is always a path of this server.
    """
    store = "".join(f"localStorage.setItem({json.dumps(key)}, {json.dumps(value)});" for key, value in stored.items())
    script = f"""{store}
        const here = location.pathname + location.search + location.hash;
        const asked = new URLSearchParams(location.search).get("to") || "/";
        const to = location.pathname === {json.dumps(LANDING)} ? asked : here;
        location.replace(location.protocol + "//" + location.host + "/" + to.replace(/^[/\\\\]+/, ""));"""
    return f"<!doctype html><title>Phiforge</title><script>{script}</script>".encode()


def _headers(scope: Scope) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return headers


def _shown(values: list[str]) -> str:
    return repr(", ".join(values))[:100] if values else "(none given)"


async def _refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": refusal.text})
        return
    body = refusal.text.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    if refusal.challenge:
        headers.append((b"www-authenticate", b'Basic realm="Phiforge", charset="UTF-8"'))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
