"""Makes this process look as `python -m pytest` does: a test may look at it, or start it again."""

import importlib.util
import os
import random
import sys
import types


def set_path(own_folder):
    """sys.path as `python -m pytest` has it: the current folder instead of the script's."""
    if own_folder in sys.path:
        sys.path.remove(own_folder)
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        sys.path.insert(0, os.getcwd())


def become_pytest():
    """Puts pytest's main module in the place of the runner's.

    multiprocessing imports __main__ again in each process that it spawns.
    """
    pytest = sys.modules["pytest"]
    spec = importlib.util.find_spec("pytest.__main__")
    module = types.ModuleType("__main__")
    module.__file__ = spec.origin
    module.__cached__ = spec.cached
    module.__loader__ = spec.loader
    module.__package__ = "pytest"
    module.__spec__ = spec
    module.pytest = pytest
    sys.modules["__main__"] = module
    # What pytest.main sets: it is how code learns that it is under test.
    if pytest.version_tuple >= (8, 2):
        os.environ["PYTEST_VERSION"] = pytest.__version__


def set_arguments(words):
    """sys.argv of `python -m pytest WORDS`: the list stays the same, who holds it sees the change."""
    sys.argv[:] = [sys.modules["__main__"].__file__, *words]
    if hasattr(sys, "orig_argv"):
        sys.orig_argv[:] = [sys.executable, "-m", "pytest", *words]


class Seed:
    """Keeps the numbers of module random as the suite seeded it.

    Python seeds it again in each fork. That is right unless the suite has done so itself.
    """

    def __init__(self):
        self.before = self.numbers()

    def numbers(self):
        # The last is the place in them: numbers that were only used do not count.
        return random.getstate()[1][:-1]

    def remember(self):
        self.state = random.getstate() if self.numbers() != self.before else None

    def restore(self):
        if self.state:
            random.setstate(self.state)
