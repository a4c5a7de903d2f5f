"""`manage.py qcluster` for a test: a file tells that its workers are there, whatever is logged in which language."""

import os
from pathlib import Path

from automation.testing import cluster


def main() -> None:
    """Start the cluster and make the file; the process then lasts as long as the cluster."""
    import django
    from django.core.management import call_command

    django.setup()
    call_command("qcluster")
    Path(os.environ[cluster.READY]).touch()


if __name__ == "__main__":
    main()
