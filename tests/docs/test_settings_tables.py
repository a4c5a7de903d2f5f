"""The table of settings in the README of workflows has every key, and no other."""

import re

from automation.workflows.conf import DEFAULTS
from tests.docs.pages import ROOT

ROW = re.compile(r"^\| ((?:`[A-Z_]+`(?:, )?)+) \|", re.MULTILINE)


def test_every_setting_of_workflows_is_in_its_readme():
    rows = ROW.findall((ROOT / "packages/workflows/README.md").read_text())

    assert {key for row in rows for key in re.findall(r"[A-Z_]+", row)} == set(DEFAULTS)
