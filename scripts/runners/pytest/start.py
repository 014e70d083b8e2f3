"""A runner of pytest files for rrr-slave --adapter pytest; the protocol is in rrr-runner(7).

usage: python THIS fork|none [--preload FILE]... [-- PYTEST-OPTION...]

pytest, its plugins and the topmost conftest files are loaded once, and one session is begun. Then each
file (or node id) is collected and run in a fork of this process (fork), so that nothing it does, its
fixtures of scope session included, can reach the next one; or in this process (none). Hooks at the
start and the end of the session run once, here.
"""

import os
import sys

own_folder = os.path.dirname(os.path.abspath(__file__))
if own_folder not in sys.path:
    sys.path.insert(0, own_folder)
from rrr_pytest_runner import native  # noqa: E402

# The own folder must not hide a module of the project; pytest may be one.
native.set_path(own_folder)

from rrr_pytest_runner.main import Main  # noqa: E402

native.become_pytest()
sys.exit(Main(sys.argv[1:]).run())
