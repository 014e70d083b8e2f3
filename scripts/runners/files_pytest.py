"""Prints the files in which pytest would collect tests, as JSON, without importing them: for
rrr-local, and for --from pytest.

usage: python files_pytest.py [PYTEST-OPTION...] [FILE-OR-FOLDER...]
"""

import json
import os
import sys

out = os.dup(1)
os.dup2(2, 1)
sys.path[0] = ""
import pytest  # noqa: E402

# The name of the hook's argument changed in this version.
BY_FILE_PATH = int(pytest.__version__.split(".")[0]) >= 7


class Lister:
    """Notes each file that pytest or a plugin would collect, and hands none of them on."""

    def __init__(self):
        self.files = []

    def note(self, path, outcome):
        collectors = outcome.get_result()
        if collectors:
            self.files.append(os.path.relpath(str(path)))
            outcome.force_result([] if isinstance(collectors, list) else None)

    if BY_FILE_PATH:

        @pytest.hookimpl(hookwrapper=True)
        def pytest_collect_file(self, file_path):
            self.note(file_path, (yield))

    else:

        @pytest.hookimpl(hookwrapper=True)
        def pytest_collect_file(self, path):
            self.note(path, (yield))


lister = Lister()
code = int(pytest.main([*sys.argv[1:], "--collect-only", "-q"], plugins=[lister]))
# 1: a plugin is not content, for example with the coverage of no test; 5: no tests.
if code not in (0, 1, 5):
    sys.exit(code)
with os.fdopen(out, "w") as stream:
    json.dump(list(dict.fromkeys(lister.files)), stream)
