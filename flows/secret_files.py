"""Fresh secrets for docker-compose.yml: `make secrets`, `python -m flows.secret_files [--domain NAME] [--email ADDRESS]`.

Each secret is a file that only its owner can read, in a folder outside the project, since every container has the project.
`.env` has the folder's path and the public names, no secret. What exists is left as it is.
"""

import argparse
import hashlib
import json
import secrets
import sys
from pathlib import Path

from components.errors import StepError
from components.files import private_directory, write_private
from flows.access import new_auth

PROG = "python -m flows.secret_files"
DATABASES = ("prefect", "mlflow")
BUCKETS = {"mlflow": ["mlflow"], "results": ["results"], "admin": ["mlflow", "results"]}  # user to buckets


def write_secrets(folder: Path) -> list[str]:
    """Write the secrets that do not exist into a folder; returns the names of the files that were written."""
    passwords = {name: secrets.token_urlsafe(24) for name in DATABASES}
    keys = {user: (secrets.token_hex(10), secrets.token_urlsafe(30)) for user in BUCKETS}
    together = {  # the parts must match, so they are written together or not at all
        "databases.sql": "".join(
            f"CREATE ROLE {name} LOGIN PASSWORD '{password}';\nCREATE DATABASE {name} OWNER {name};\n"
            f"REVOKE ALL ON DATABASE {name} FROM PUBLIC;\n"
            for name, password in passwords.items()
        ),
        **{f"{name}.pgpass": f"*:*:{name}:{name}:{password}\n" for name, password in passwords.items()},
        "databases.pgpass": "".join(f"*:*:{name}:{name}:{password}\n" for name, password in passwords.items()),
        "s3.json": json.dumps({"identities": [_identity(user, *key) for user, key in keys.items()]}, indent=1) + "\n",
        **{
            f"s3-{user}.ini": f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
            for user, (key, secret) in keys.items()
        },
    }
    alone = {
        "auth": new_auth() + "\n",
        "reader": secrets.token_urlsafe(24) + "\n",
        "postgres": secrets.token_urlsafe(24) + "\n",
    }
    private_directory(folder)
    missing = [name for name in together if not (folder / name).exists()]
    if missing and len(missing) < len(together):
        raise StepError(
            f"{folder}: {', '.join(missing)} missing; expected all of {', '.join(together)}; restore them from a backup, or "
            "remove the rest to begin with an empty database"
        )
    wanted = (together if missing else {}) | {n: text for n, text in alone.items() if not (folder / n).exists()}
    for name, text in wanted.items():
        write_private(folder / name, text)
    return list(wanted)


def _identity(user: str, key: str, secret: str) -> dict[str, object]:
    """A user of the S3 server as SeaweedFS describes one."""
    acts = ["Admin"] if user == "admin" else ["Read", "Write", "List", "Tagging"]
    return {
        "name": user,
        "credentials": [{"accessKey": key, "secretKey": secret}],
        "actions": [f"{act}:{bucket}" for bucket in BUCKETS[user] for act in acts],
    }


def settings_of(folder: Path, domain: str, email: str, port: int = 443) -> str:
    """The text of .env: where the secrets are, and under which names visitors reach the pages."""
    lines = [f"PHIFORGE_SECRETS={folder}"]
    if domain:
        suffix = "" if port == 443 else f":{port}"
        names = {"PANEL": domain, "PREFECT": f"prefect.{domain}", "MLFLOW": f"mlflow.{domain}"}
        lines += [f"PHIFORGE_DOMAIN={domain}", f"PHIFORGE_TLS={email or 'internal'}"]
        lines += [f"PHIFORGE_HOSTS={','.join(name + suffix for name in names.values())}"]
        lines += [f"PHIFORGE_{page}_PAGES=https://{name}{suffix}" for page, name in names.items()]
    return "\n".join(lines) + "\n"


def default_folder(root: Path) -> Path:
    """Where the secrets of a project's folder are unless another place is given."""
    return Path.home() / ".config" / "phiforge" / f"{root.name}-{hashlib.sha256(str(root).encode()).hexdigest()[:8]}"


def main(argv: list[str] | None = None) -> int:
    """Write secrets and .env; returns the exit status."""
    parser = argparse.ArgumentParser(prog=PROG, description="Write fresh secrets for docker-compose.yml.")
    parser.add_argument(
        "--domain", default="", help="public name of the panel; prefect.NAME and mlflow.NAME come with it"
    )
    parser.add_argument(
        "--email", default="", help="address for Let's Encrypt; without it, an authority of the proxy's own"
    )
    parser.add_argument("--folder", type=Path, help="folder for the secrets (default: in ~/.config/phiforge)")
    arguments = parser.parse_args(argv)
    root = Path.cwd()
    folder = (arguments.folder or default_folder(root)).absolute()
    try:
        if folder.is_relative_to(root):
            raise StepError(
                f"--folder {folder}: is in the project, which every container can read; choose another place"
            )
        written = write_secrets(folder)
    except StepError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{folder}: {f'{len(written)} secrets written' if written else 'complete; nothing was changed'}")
    if (root / ".env").exists() and not arguments.domain:
        print(".env: exists and was left as it is")
    else:
        write_private(root / ".env", settings_of(folder, arguments.domain, arguments.email))
        print(".env: written; it has no secret")
    return 0


if __name__ == "__main__":
    sys.exit(main())
