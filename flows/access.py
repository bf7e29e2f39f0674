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
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from components.errors import StepError
from components.files import write_private

OPERATOR = "operator"  # may do everything
READER = "reader"  # may only view the panel
LANDING = "/phiforge-login"
ROLE_HEADER = "x-phiforge-role"
AUTH = "PHIFORGE_AUTH"  # the operator's `name:secret`, passed from process to process
AUTH_FILE = "PHIFORGE_AUTH_FILE"  # or a file that contains it
READER_SECRET = "PHIFORGE_READER_SECRET"
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


def given_auth(environment: Mapping[str, str]) -> str:
    """The credentials in the environment, by value or by file; empty if there are none.

    Raises:
        StepError: the file cannot be read, or the value is not `operator:SECRET` with a secret of at least 16
            characters.
    """
    auth = environment.get(AUTH, "")
    where = AUTH
    if not auth and (file := environment.get(AUTH_FILE)):
        where = f"{AUTH_FILE} {file}"
        try:
            auth = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise StepError(f"{where}: cannot be read ({error}); write `operator:SECRET` into it") from None
    if auth and (not auth.startswith(f"{OPERATOR}:") or len(auth) < len(OPERATOR) + 1 + MIN_SECRET):
        raise StepError(
            f"{where}: expected `{OPERATOR}:SECRET` with a secret of at least {MIN_SECRET} characters; "
            "`make secrets` writes one"
        )
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
        readers: whether the credentials `reader:$PHIFORGE_READER_SECRET` are accepted too.
        stored: items for the browser's local storage, for pages that read the credentials from there.
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
        stored: Mapping[str, str] = {},
    ) -> None:
        self.app = app
        self.hosts = frozenset(hosts)
        self.origins = frozenset(origins) | {
            f"{scheme}://{host}" for host in self.hosts for scheme in ("http", "https")
        }
        self.open_paths, self.own_login, self.closed = frozenset(open_paths), own_login, tuple(closed)
        self.accepted = [auth]
        if readers and (secret := os.environ.get(READER_SECRET, "")):
            if len(secret) < MIN_SECRET:
                raise StepError(f"{READER_SECRET}: expected at least {MIN_SECRET} characters; choose a longer secret")
            self.accepted.append(f"{READER}:{secret}")
        self.landing_page = _landing_page(stored)
        # Identifies the server's start without a secret: a browser sends cookies to every port of this machine.
        self.landed = f"phiforge-{hashlib.sha256(auth.encode()).hexdigest()[:12]}" if stored else ""
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
        role = self._role(headers)
        if refusal := self._refusal(scope, headers, role):
            await _refuse(scope, send, refusal)
            return
        if role and self._lands(scope, headers):
            await self._land(send)
            return
        kept = [(name, value) for name, value in scope["headers"] if name.lower() != ROLE_HEADER.encode()]
        scope = dict(scope) | {"headers": [*kept, (ROLE_HEADER.encode(), role.encode())]}

        async def send_with_policy(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", []),
                    (b"content-security-policy", self.policy),
                    (b"referrer-policy", b"no-referrer"),
                ]
            await send(message)

        await self.app(scope, receive, send_with_policy)

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

    def _lands(self, scope: Scope, headers: Mapping[str, list[str]]) -> bool:
        """Whether a browser gets the landing page: it requests that page, or its first page when items must be stored."""
        if scope.get("method") != "GET":
            return False
        first = self.landed and "text/html" in "".join(headers.get("accept", []))
        return scope["path"] == LANDING or bool(first and self.landed not in "".join(headers.get("cookie", [])))

    async def _land(self, send: Send) -> None:
        headers = [(b"content-type", b"text/html; charset=utf-8"), (b"cache-control", b"no-store")]
        if self.landed:
            headers.append((b"set-cookie", f"{self.landed}=1; Path=/; SameSite=Strict; HttpOnly".encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self.landing_page})

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

    def _role(self, headers: Mapping[str, list[str]]) -> str:
        """The name in a request's credentials if they are accepted, else an empty string."""
        given = headers.get("authorization", [])
        scheme, _, encoded = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if scheme.lower() != "basic":
            return ""
        try:
            auth = base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError):
            return ""
        for accepted in self.accepted:
            if hmac.compare_digest(auth, accepted.encode()):
                return accepted.partition(":")[0]
        return ""


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


def write_compose_secrets(path: Path) -> bool:
    """Write new secrets for docker-compose.yml into a file that only its owner can read, unless it exists; returns
    whether it wrote the file."""
    if path.exists():
        return False
    write_private(path, f"{AUTH}={new_auth()}\nPOSTGRES_PASSWORD={secrets.token_urlsafe(24)}\n")
    return True


if __name__ == "__main__":
    written = write_compose_secrets(Path(".env"))
    print(".env: written, readable only by you" if written else ".env already exists and was left as it is")
