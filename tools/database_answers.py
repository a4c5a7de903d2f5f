"""Exit with 0 when the database that AUTOMATION_TEST_DATABASE names answers, else say on one line why it does not.

It connects the way Django does when it creates a test database, so an answer here means that tests can start.
"""

import sys

from django.conf import settings
from django.db import Error, connection

from automation.testing.databases import database_from_env


def main() -> int:
    """Ask the database one question."""
    settings.configure(DATABASES={"default": database_from_env("automation_answers")})
    try:
        with connection._nodb_cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        print(str(error).strip().splitlines()[0])
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
