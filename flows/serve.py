"""Run one server of the platform behind `flows.access`: `python -m flows.serve prefect|mlflow [--port N]`.

`make up`, the embedded server of `make run` and docker-compose.yml all start their servers here (the panel in
`ui/serve.py`), so that access is decided in one place. The credentials are in the environment (PHIFORGE_AUTH, or a
file named by PHIFORGE_AUTH_FILE); without them, a server does not start.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.errors import StepError
from flows import settings
from flows.access import ORIGINS, Access, App, hosts_of, serve, server_auth
from flows.tokens import team


def prefect_app(auth: str, port: int) -> App:
    """Prefect's API and pages. The API checks the credentials itself; `Access` protects the pages."""
    origins = {f"http://{host}" for host in hosts_of(port)}
    origins |= {origin for origin in os.environ.get(ORIGINS, "").split(",") if origin}
    os.environ |= {
        "PREFECT_SERVER_API_AUTH_STRING": auth,
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(sorted(origins)),
        # In files, so that a restarted server knows the users of its slots.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_UI_API_URL": "/api",  # for any name and port of the server
    }
    os.environ.setdefault("PREFECT_UI_URL", f"http://127.0.0.1:{port}")  # in the links of alerts
    os.environ.setdefault("PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS", str(LATE_S))
    from prefect.server.api.server import create_app

    import flows.alerts  # noqa: F401 - the block with which automations send
    from flows.parameters import check_at_creation

    check_at_creation()
    wait_for_sqlite()
    return Access(
        create_app(),
        auth,
        hosts_of(port),
        origins=origins,
        open_paths=["/api/health", "/api/ready"],
        own_login="/api",
        stored=["prefect-password"],  # read by Prefect's pages
        team=team(),
    )


def wait_for_sqlite() -> None:
    """Make the Prefect server of this process wait for SQLite's lock at the beginning of each transaction.

    Prefect's transactions read before they write. SQLite immediately refuses the write ("database is locked") if another
    transaction has written since the read; with twenty concurrent runs, all retries of a request failed for this reason,
    and runs crashed.
    """
    from prefect.server.database.configurations import AioSqliteConfiguration

    begin = AioSqliteConfiguration.begin_transaction

    def begin_for_update(self: Any, session: Any, with_for_update: bool = False) -> Any:
        return begin(self, session, with_for_update=True)

    AioSqliteConfiguration.begin_transaction = begin_for_update


def mlflow_app(auth: str, port: int) -> App:
    """MLflow's API and pages, protected by `Access`.

    MLflow's own app for users and passwords stays off: it stores them in another database, leaves some routes open and
    accepts pages from every port of this machine. MLflow's own checks of Host and Origin stay on.
    """
    from mlflow.server import constants, handlers

    backend = settings.mlflow_uri(settings.project_root())
    artifacts = os.environ.get("MLFLOW_ARTIFACTS_DESTINATION")
    root = "mlflow-artifacts:/" if artifacts else (settings.project_root() / "mlartifacts").as_uri()
    os.environ |= {
        constants.BACKEND_STORE_URI_ENV_VAR: backend,
        constants.ARTIFACT_ROOT_ENV_VAR: root,
        constants.SERVE_ARTIFACTS_ENV_VAR: "true",
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(sorted(hosts_of(port))),
        # Each job worker needs 270 MB, and this project does not use them.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    if artifacts:
        os.environ[constants.ARTIFACTS_DESTINATION_ENV_VAR] = artifacts
    handlers.initialize_backend_stores(backend, backend, root)
    _keep_artifacts_in_their_place(handlers._get_tracking_store())
    from mlflow.server.fastapi_app import app

    # MLflow's assistant gives a shell to the model in its settings, which everybody with the credentials can change.
    return Access(app, auth, hosts_of(port), open_paths=["/health"], closed=["/mlflow/assistant/"], team=team())


def _keep_artifacts_in_their_place(store: Any) -> None:
    """Refuse experiments with another place for artifacts, because the server writes uploads into any named folder."""
    from mlflow.exceptions import MlflowException

    create = store.create_experiment

    def create_here(name: str, artifact_location: str | None = None, *args: Any, **kwargs: Any) -> str:
        if artifact_location:
            raise MlflowException.invalid_parameter_value(
                f"artifact_location: {artifact_location!r} was given; expected none, because this server stores "
                "all artifacts in one place; remove it"
            )
        return create(name, None, *args, **kwargs)

    store.create_experiment = create_here


APPS: dict[str, Callable[[str, int], App]] = {"prefect": prefect_app, "mlflow": mlflow_app}
LATE_S = 600  # seconds after its planned time until a run counts as late
PORTS = {"prefect": 4200, "mlflow": 5000}


def main(argv: list[str] | None = None) -> int:
    """Serve until the process is stopped; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m flows.serve", description="One server of the platform.")
    parser.add_argument("server", choices=tuple(APPS), help="server to run")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, help="port to listen on (default: 4200 for Prefect, 5000 for MLflow)")
    parser.add_argument(
        "--fd", type=int, help="file descriptor of a listening socket inherited from the parent process"
    )
    arguments = parser.parse_args(argv)
    settings.configure(settings.project_root())
    port = arguments.port or PORTS[arguments.server]
    try:
        auth = server_auth(os.environ, arguments.server)
        serve(APPS[arguments.server](auth, port), arguments.host, port, arguments.fd)
    except StepError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    sys.exit(main())
