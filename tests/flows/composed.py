"""The services of docker-compose.yml as processes of this machine, started from the file itself.

Commands, environments, secrets, health checks and start order are the file's. What differs, since there is no container:
addresses and folders, and three images: PostgreSQL and Caddy are those of the machine, and moto stands in for the S3 server.
"""

import contextlib
import graphlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from flows.server import free_port, port_taken

REPOSITORY = Path(__file__).parents[2]
PORTS = {"postgres": [5432], "s3": [8333], "prefect": [4200], "mlflow": [5000], "worker": [8080], "panel": [8501],
         "proxy": [8080, 8443, 2019]}  # fmt: skip
PLATFORM = {"flows.serve", "ui.serve"}  # commands that take a port
HEALTHY_S = 300


def installed(name: str) -> str | None:
    """A program of this machine."""
    return shutil.which(name) or next(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), None)


def interpolate(text: str, variables: dict[str, str]) -> str:
    """Text of the compose file with the variables of .env, as compose does it."""

    def value(match: re.Match[str]) -> str:
        name, kind, word = match.groups()
        if found := variables.get(name):
            return found
        assert kind != "?", f"{name}: {word}"
        return word or ""

    return re.sub(r"\$\{(\w+)(?::([-?])([^}]*))?\}", value, text)


class Composed:
    """The running services.

    Args:
        project: the folder that is /phiforge in the containers, with a .env.
        folder: for volumes, secrets and logs.
    """

    def __init__(self, project: Path, folder: Path, profiles: tuple[str, ...] = ()) -> None:
        self.project, self.folder = project, folder
        lines = (project / ".env").read_text().splitlines()
        self.variables = dict(line.split("=", 1) for line in lines) | {"UID": "0", "GID": "0"}
        file = yaml.safe_load(interpolate((project / "docker-compose.yml").read_text(), self.variables))
        self.secrets, self.configs = file["secrets"], file["configs"]
        self.services = file["services"]
        self.started = [
            name
            for name, service in self.services.items()
            if not service.get("profiles") or set(service["profiles"]) & set(profiles)
        ]
        self.ports = {name: {port: free_port() for port in ports} for name, ports in PORTS.items()}
        self.processes: dict[str, subprocess.Popen] = {}
        self.cluster = Path(tempfile.mkdtemp())  # where PostgreSQL's user may go

    def port(self, name: str, port: int | None = None) -> int:
        """The port of this machine that stands for a service's first or given port."""
        return self.ports[name][port or PORTS[name][0]]

    def here(self, name: str, text: str) -> str:
        """A text of a service's definition with the addresses and folders of this machine."""
        for service, ports in self.ports.items():
            for port, mine in ports.items():
                text = re.sub(rf"(?<![\w.-]){service}:{port}\b", f"127.0.0.1:{mine}", text)
        for port, mine in self.ports.get(name, {}).items():
            text = re.sub(
                rf"127\.0\.0\.1:{port}\b|^{port}$", lambda m, old=port, new=mine: m[0].replace(str(old), str(new)), text
            )
        text = re.sub(r"(?<![\w.-])/(objects|certificates|tmp)\b", rf"{self.folder}/\1", text)
        text = text.replace("/run/secrets/", f"{self.folder}/secrets-{name}/").replace("0.0.0.0", "127.0.0.1")
        return re.sub(r"^/phiforge\b", str(self.project), text)

    def environment(self, name: str) -> dict[str, str]:
        """The environment of a service: the image's, and its own; nothing of this test run."""
        image = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "HOME": str(self.folder / "tmp"),
            "LANG": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join(
                [str(self.project), *filter(None, [os.environ.get("PHIFORGE_TEST_PACKAGES")])]
            ),
            "OMP_NUM_THREADS": "1",
        }
        own = self.services[name].get("environment", {})
        users = {"PHIFORGE_RESULTS_CREDENTIALS": "worker"}  # whose secrets a path is about, if not the service's own
        return image | {key: self.here(users.get(key, name), str(value)) for key, value in own.items()}

    def start(self) -> None:
        """Start everything in the order of the file."""
        needs = {name: set(self.services[name].get("depends_on", {})) for name in self.started}
        for name in graphlib.TopologicalSorter(needs).static_order():
            for other, how in self.services[name].get("depends_on", {}).items():
                self.wait(other, how["condition"])
            self.launch(name)
        for name in self.started:
            if "healthcheck" in self.services[name]:
                self.wait(name, "service_healthy")

    def launch(self, name: str) -> None:
        """Start one service with the secrets that the file gives it."""
        for folder in ("objects", "certificates", "tmp"):
            (self.folder / folder).mkdir(exist_ok=True)
        self._give_secrets(name)
        special = {"postgres": self._postgres, "s3": self._s3, "proxy": self._proxy}
        command, options = special[name]() if name in special else (self._command(name), {"cwd": self.project})
        with open(self.folder / f"{name}.log", "a") as log:
            self.processes[name] = subprocess.Popen(
                command, env=self.environment(name), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                **options,
            )  # fmt: skip

    def _give_secrets(self, name: str) -> None:
        folder = self.folder / f"secrets-{name}"
        folder.mkdir(exist_ok=True)
        for given in self.services[name].get("secrets", []):
            source, target = (given, given) if isinstance(given, str) else (given["source"], given["target"])
            shutil.copy(self.secrets[source]["file"], folder / Path(target).name)

    def _command(self, name: str) -> list[str]:
        words = shlex.split(self.here(name, self.services[name]["command"]))
        if PLATFORM & set(words):
            words += ["--port", str(self.port(name))]
        return [sys.executable, *words[1:]] if words[0] == "python" else words

    def _postgres(self) -> tuple[list[str], dict[str, Any]]:
        """The image's entrypoint: a new cluster has the superuser's password, and runs the SQL of its secret."""
        folder = self.cluster
        options: dict[str, Any] = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        port = str(self.port("postgres"))
        command = [installed("postgres"), "-D", str(folder / "data"), "-p", port, "-h", "127.0.0.1", "-k", str(folder)]
        if not (folder / "data").exists():
            for name in ("postgres", "databases.sql"):
                shutil.copy(self.folder / "secrets-postgres" / name, folder)
                (folder / name).chmod(0o644)
            if options:
                shutil.chown(folder, **options)
            make = [installed("initdb"), "-D", folder / "data", "-U", "postgres", "--auth-local=trust", "--no-sync"]
            make += ["--auth-host=scram-sha-256", f"--pwfile={folder / 'postgres'}"]
            subprocess.run(make, cwd=folder, check=True, capture_output=True, **options)
            first = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL, **options)
            wait_until(lambda: port_taken(int(port)))
            sql = [installed("psql"), "-q", "-v", "ON_ERROR_STOP=1", "-h", folder, "-p", port, "-U", "postgres", "-f"]
            for _ in range(20):
                if subprocess.run([*sql, folder / "databases.sql"], capture_output=True, check=False).returncode == 0:
                    break
                time.sleep(0.5)
            first.send_signal(signal.SIGINT)
            first.wait(60)
        return command, {"cwd": folder} | options

    def _s3(self) -> tuple[list[str], dict[str, Any]]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port("s3"))], {
            "cwd": self.folder
        }

    def _proxy(self) -> tuple[list[str], dict[str, Any]]:
        text = (self.project / self.configs["proxy"]["file"]).read_text()
        for port, mine in self.ports["proxy"].items():
            text = re.sub(
                rf"((?:http_|https_)port|127\.0\.0\.1:) ?{port}",
                lambda m, p=mine: f"{m[1]}{'' if m[1][-1] == ':' else ' '}{p}",
                text,
            )
        (self.folder / "Caddyfile").write_text(
            self.here("proxy", text).replace("admin ", "skip_install_trust\n\tadmin ", 1)
        )
        return [installed("caddy"), "run", "--config", "Caddyfile", "--adapter", "caddyfile"], {"cwd": self.folder}

    def wait(self, name: str, condition: str) -> None:
        """Return when a service has reached a state."""
        process = self.processes[name]
        if condition == "service_completed_successfully":
            assert process.wait(HEALTHY_S) == 0, self.log(name)
            return
        wait_until(lambda: self.healthy(name), lambda: self.log(name))

    def healthy(self, name: str) -> bool:
        """The outcome of a service's own health check."""
        assert self.processes[name].poll() is None, self.log(name)
        kind, *words = self.services[name]["healthcheck"]["test"]
        text = self.here(name, words[-1])
        if name == "s3":
            return port_taken(self.port("s3"))
        if "wget" in " ".join(words):
            with contextlib.suppress(OSError):
                return urllib.request.urlopen(re.search(r"http://\S+", text)[0], timeout=4).status == 200
            return False
        if kind == "CMD-SHELL":
            command = [installed(text.split()[0]), *text.split()[1:], "--port", str(self.port(name))]
        else:
            command = [sys.executable, *words[1:-1], text]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def kill(self, name: str) -> None:
        """Kill a service with its children, as a failing machine would, and start it again, as `restart:` does."""
        os.killpg(self.processes[name].pid, signal.SIGKILL)
        self.processes[name].wait(30)
        if name == "postgres":
            wait_until(lambda: not port_taken(self.port(name)))
        self.launch(name)
        self.wait(name, "service_healthy")

    def stop(self) -> None:
        """Stop all, last those that others need."""
        for name in reversed(self.processes):
            process = self.processes[name]
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT if name == "postgres" else signal.SIGTERM)
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
        shutil.rmtree(self.cluster)

    def log(self, name: str) -> str:
        return f"{name}: " + (self.folder / f"{name}.log").read_text()[-3000:]

    def call(self, name: str, *words: str, cwd: Path | None = None) -> str:
        """What `docker compose exec NAME python -m WORDS` prints."""
        self._give_secrets(name)
        done = subprocess.run(
            [sys.executable, "-m", *words], cwd=cwd or self.project, env=self.environment(name), capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout


def wait_until(true: Any, why: Any = lambda: "", seconds: float = HEALTHY_S) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, why()
        time.sleep(0.3)
