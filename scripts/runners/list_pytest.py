"""Prints the node ids of the tests of a file as JSON, whatever the project has pytest print: for
rrr-submit --split-above.

usage: python list_pytest.py [PYTEST-OPTION...] FILE
"""

import json
import os
import sys

out = os.dup(1)
os.dup2(2, 1)
sys.path[0] = ""
import pytest  # noqa: E402


class Lister:
    def pytest_collection_finish(self, session):
        self.ids = [item.nodeid for item in session.items]


lister = Lister()
code = pytest.main([*sys.argv[1:], "--collect-only"], plugins=[lister])
if code:
    sys.exit(int(code))
with os.fdopen(out, "w") as stream:
    json.dump(lister.ids, stream)
