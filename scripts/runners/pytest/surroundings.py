"""What a file changes in the process, and how it is undone before the next one: for --isolation none."""

import os
import random
import sys
import threading
from types import ModuleType

from pytest import hookimpl

from .parts import MISSING, MODULES, Attributes, Descriptors, Environment, Modules, Signals, Values, count_threads
from .wire import getpid, text

# Seconds that threads have to end after their test.
PATIENCE = 0.1


class Surroundings:
    """A plugin that restores the process after each file, or says why it cannot.

    It keeps changes that belong to all files: by fixtures of scope session, by conftest files and plugins,
    and variables that a module sets when it is imported.
    """

    def __init__(self):
        self.environment, self.modules = Environment(), Modules()
        self.parts = [*map(Attributes, MODULES), self.environment, Signals(), Descriptors(), self.modules, Values()]
        self.wanted = self.look()
        self.threads = count_threads()
        self.seeded = None
        self.numbers = self.random_numbers()
        self.spec = None
        self.restoring = False
        sys.addaudithook(self.hear)

    def look(self):
        return [part.look() for part in self.parts]

    @staticmethod
    def random_numbers():
        return random.getstate()[1][:-1]

    def begin(self, spec_file, variables):
        """A file begins, for which these variables are set."""
        self.restoring = True
        self.environment.environ.update(variables)
        self.restoring = False
        self.spec = os.path.realpath(spec_file.split("::", 1)[0])
        self.reasons = []

    def changes(self, before, after):
        """Part, key, old and new value of each difference."""
        for part, old, new in zip(self.parts, before, after):
            if old == new and not isinstance(part, Attributes):
                continue
            for key in {**old, **new}:
                was, now = old.get(key, MISSING), new.get(key, MISSING)
                if was is now or (not isinstance(part, Attributes) and was == now):
                    continue
                yield part, key, was, now

    def adopt(self, before):
        """Takes what has changed since `before` for what all files should find."""
        for part, key, _, now in self.changes(before, self.look()):
            self.want(part, key, now)

    def want(self, part, key, value):
        wanted = self.wanted[self.parts.index(part)]
        if value is MISSING:
            wanted.pop(key, None)
        else:
            wanted[key] = value

    @hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        if fixturedef.scope != "session":
            yield
            return
        before, threads, numbers = self.look(), count_threads(), self.random_numbers()
        yield
        self.adopt(before)
        self.threads += max(0, count_threads() - threads)
        if self.random_numbers() != numbers:
            self.seeded = random.getstate()

    def pytest_plugin_registered(self):
        # A conftest file: they are loaded before the file's own module.
        self.adopt(self.wanted)

    def hear(self, event, arguments):
        """Of variables: one that a module sets while it is imported would not be set again."""
        if event not in ("os.putenv", "os.unsetenv") or self.restoring or self.spec is None:
            return
        frame = sys._getframe(1)
        while frame and frame.f_code.co_name != "<module>":
            frame = frame.f_back
        if frame is None or frame.f_globals.get("__name__") == "__main__":
            return
        if os.path.realpath(frame.f_globals.get("__file__") or "") != self.spec:
            value = MISSING if event == "os.unsetenv" else os.fsdecode(arguments[1])
            self.want(self.environment, os.fsdecode(arguments[0]), value)

    def restore(self):
        """Undoes what the file has changed; why the process should make no other trial, or None."""
        self.restoring = True
        try:
            self.wait_for_threads()
            for part, key, was, now in self.changes(self.wanted, self.look()):
                self.undo(part, key, was, now)
            if self.seeded:
                random.setstate(self.seeded)
            else:
                random.seed()
            self.look_at_streams()
        finally:
            self.restoring = False
        return text("; ".join(self.reasons), 500) if self.reasons else None

    def undo(self, part, key, was, now):
        if isinstance(part, Attributes) and not self.may_undo(part, key, was, now):
            return
        if part is self.modules and was is MISSING and not self.is_made_by_hand(key, now):
            self.want(part, key, now)
            return
        if key == "sys.path":
            was = self.path(was, now)
            self.want(part, key, was)
        try:
            part.put_back(key, was)
        except Exception as error:
            self.reasons.append(f"{part.describe(key)} cannot be restored: {error}")
            self.want(part, key, now)

    def may_undo(self, part, key, was, now):
        """Whether a changed name of a module is put back. What a library has replaced may be in use by it."""
        if isinstance(now, ModuleType) and was is MISSING:
            self.want(part, key, now)  # a submodule that was imported
            return False
        if now is MISSING or self.is_by_a_test(now):
            return True
        if part.owner is sys or (not callable(now) and (was is not MISSING or part.name == "builtins")):
            return True
        self.want(part, key, now)
        if was is not MISSING or part.name == "builtins":
            self.reasons.append(f"{part.describe(key)} was replaced")
        return False

    @staticmethod
    def is_by_a_test(value):
        """Whether it is from a test file or a conftest file, or a mock."""
        owner = getattr(value, "__module__", None)
        if not isinstance(owner, str):
            return False
        name = owner.rpartition(".")[2]
        return owner.startswith("unittest.mock") or name == "conftest" or name.startswith("test_") or name.endswith("_test")

    @staticmethod
    def is_made_by_hand(name, module):
        """Whether somebody has put it into sys.modules who is not the import system."""
        if not isinstance(module, ModuleType):
            return "." not in name
        return "." not in name and getattr(module, "__spec__", None) is None and not hasattr(module, "__file__")

    def path(self, was, now):
        """sys.path as it was, with the folders that pytest adds or that modules were imported from."""
        added = [entry for entry in now if entry not in was]
        if not added:
            return was
        folders = {os.path.dirname(self.spec)}
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and file != self.spec:
                folders.add(os.path.dirname(file))
        kept = [entry for entry in added if isinstance(entry, str) and self.is_used(entry, folders)]
        place = [entry for entry in now if entry in kept or entry in was]
        missing = [entry for entry in was if entry not in place]
        return tuple(place + missing)

    @staticmethod
    def is_used(entry, folders):
        entry = os.path.realpath(entry)
        return any(folder == entry or folder.startswith(entry + os.sep) for folder in map(os.path.realpath, folders))

    def wait_for_threads(self):
        if count_threads() <= self.threads:
            return
        me = threading.current_thread()
        others = [thread for thread in threading.enumerate() if thread is not me]
        for thread in reversed(others):
            if count_threads() <= self.threads:
                return
            thread.join(PATIENCE)
        if count_threads() > self.threads:
            names = ", ".join(thread.name for thread in threading.enumerate() if thread is not me)
            self.reasons.append(f"a thread still runs ({names})")

    def look_at_streams(self):
        for name in ("__stdout__", "__stderr__", "stdout", "stderr"):
            stream = getattr(sys, name)
            if getattr(stream, "closed", False):
                self.reasons.append(f"sys.{name} was closed")
