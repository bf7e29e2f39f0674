"""OpenAI's API for one checkpoint, on 127.0.0.1: transformers' own server, behind a filter for requests.

The server has no authentication; some of its paths load any folder of this machine or list its cache. The filter passes
only requests

- to this address: another Host means a page with a name that points to 127.0.0.1 (DNS rebinding)
- that do not come from a page of another site, which browsers name in Origin
- to the paths of completion, chat and health
- with the key, if PHIFORGE_API_KEY is set: other users of this machine can reach 127.0.0.1 too
"""

import hmac
import importlib.util
import os
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from components.errors import StepError

HOST = "127.0.0.1"
PATHS = ("/health", "/v1/completions", "/v1/chat/completions")
KEY = "PHIFORGE_API_KEY"
NEEDED = ("accelerate", "openai", "fastapi", "uvicorn")
Message = MutableMapping[str, Any]


class RequestFilter:
    """An ASGI application that passes allowed requests to another one."""

    def __init__(self, app: Any, port: int, key: str = "") -> None:
        self.app, self.key = app, key
        self.addresses = {f"{name}:{port}" for name in (HOST, "localhost")}

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if scope["type"] != "lifespan" and (refused := self.refusal(scope)):
            from starlette.responses import JSONResponse

            status, reason = refused
            await JSONResponse({"error": {"message": reason}}, status)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def refusal(self, scope: Message) -> tuple[int, str] | None:
        """Status and reason if a request is refused."""
        if scope["type"] != "http" or scope["path"] not in PATHS:
            return 404, f"the path is unknown; expected one of {', '.join(PATHS)}"
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if headers.get("host") not in self.addresses:
            return 403, f"Host is {headers.get('host')!r}; expected {' or '.join(sorted(self.addresses))}"
        if "origin" in headers and headers["origin"].removeprefix("http://") not in self.addresses:
            return 403, f"Origin is {headers['origin']!r}; requests from pages of other sites are refused"
        given = headers.get("authorization", "").removeprefix("Bearer ")
        if self.key and not hmac.compare_digest(given.encode(), self.key.encode()):
            return 401, f"the key is missing or wrong; send the value of {KEY} as Authorization: Bearer KEY"
        return None


def check_packages() -> None:
    """Raises StepError if the server's packages are not installed."""
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise StepError(
            f"--serve runs `transformers serve`, which needs {' and '.join(missing)}: install them with "
            f"`.venv/bin/python -m pip install {' '.join(missing)}`"
        )


def serve(folder: Path, port: int) -> None:
    """Serve an exported checkpoint under its folder's name until the process is stopped."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # requests cannot cause a download
    os.chdir(folder.parent)  # so that the model's name is the folder's name
    import torch
    from transformers.cli.serve import Serve
    from transformers.cli.serving import server

    build = server.build_server
    key = os.environ.get(KEY, "")
    server.build_server = lambda *args, **kwargs: RequestFilter(build(*args, **kwargs), port, key)
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    Serve(force_model=folder.name, host=HOST, port=port, device=device, trust_remote_code=False)
