"""The settings of a cluster that a test has started: the project's own, on the databases of the test."""

import copy
import json
import os
from importlib import import_module

from automation.testing import cluster

_project = import_module(os.environ[cluster.SETTINGS])
globals().update({name: getattr(_project, name) for name in dir(_project) if name.isupper()})

DATABASES = copy.deepcopy(_project.DATABASES)
for _alias, _name in json.loads(os.environ[cluster.DATABASES]).items():
    DATABASES[_alias]["NAME"] = _name
