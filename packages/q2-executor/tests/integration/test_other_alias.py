"""q2's table on another database than the data: what is sent is there after the commit, and only then."""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]

STORY = """
import json, sys
from pathlib import Path
import django
from django.conf import settings
from automation.testing.databases import sqlite

folder = Path(sys.argv[1])
settings.configure(
    SECRET_KEY="x", USE_TZ=True,
    INSTALLED_APPS=["django.contrib.contenttypes", "django_q", "automation.workflows", "automation.q2_executor"],
    DATABASES={"default": sqlite(folder / "data.sqlite3"), "queue": sqlite(folder / "queue.sqlite3")},
    Q_CLUSTER={"name": "x", "orm": "queue", "timeout": 50, "retry": 60, "catch_up": False, "max_attempts": 3},
)
django.setup()
from django.core.management import call_command
for alias in ("default", "queue"):
    call_command("migrate", verbosity=0, database=alias)

from django.db import connection, transaction
from django_q.models import OrmQ
from pydantic import BaseModel
from automation.workflows.core import complete, engine, step, workflow

@workflow("errand")
class Errand:
    class Context(BaseModel):
        pass
    @step(start=True)
    def run(self):
        return complete()

def sent():
    return [row.func().rpartition(".")[2] for row in OrmQ.objects.using("queue").order_by("pk")]

said = {}
with transaction.atomic():
    engine.start("errand")
    said["before the commit"] = sent()
    said["connection kept"] = connection.connection is not None
said["after the commit"] = sent()
try:
    with transaction.atomic():
        engine.start("errand")
        raise RuntimeError
except RuntimeError:
    said["after a rollback"] = sent()
said["beside the data"] = OrmQ.objects.using("default").count()
print(json.dumps(said))
"""


def test_a_message_is_in_the_other_database_after_the_commit_and_never_without_it(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", STORY, str(tmp_path)],
        cwd=HERE,
        env={key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "before the commit": [],
        "connection kept": True,
        "after the commit": ["execute_run"],
        "after a rollback": ["execute_run"],
        "beside the data": 0,
    }
