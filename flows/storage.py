"""Prepares the S3 server of docker-compose.yml: `python -m flows.storage`. Safe to repeat.

Creates the buckets, and names the one for results to DVC as the remote `server`, in `.dvc/config.local`, which git ignores:
`docker compose exec worker dvc push --remote server`. The remote has no secret; it names the file with the key.
"""

import os
import sys

from flows import settings
from flows.secret_files import BUCKETS

REMOTE = "server"
CREDENTIALS = "PHIFORGE_RESULTS_CREDENTIALS"


def main() -> int:
    """Create what is missing; returns the exit status."""
    import fsspec
    from configobj import ConfigObj

    address = os.environ["AWS_ENDPOINT_URL_S3"]
    server = fsspec.filesystem("s3", endpoint_url=address)
    for bucket in BUCKETS["admin"]:
        if not server.exists(bucket):
            server.mkdir(bucket)
            print(f"{bucket}: created")
    file = settings.project_root() / ".dvc" / "config.local"
    file.touch(mode=0o600)
    config = ConfigObj(str(file), encoding="utf-8")
    config[f'remote "{REMOTE}"'] = {
        "url": f"s3://{BUCKETS['results'][0]}/dvc",
        "endpointurl": address,
        "credentialpath": os.environ[CREDENTIALS],
        "region": os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
    }
    config.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
