"""What a file changes in the process, and how it is undone before the next one: for --isolation none."""

import os
import random
import sys
import threading
from types import ModuleType

from pytest import hookimpl

from .parts import (
    MISSING,
    MODULES,
    Attributes,
    Descriptors,
    Environment,
    Modules,
    Signals,
    Values,
    are_same,
    count_threads,
)
from .wire import getpid, text

# Seconds that threads have to end after their test.
PATIENCE = 0.1

getrandbits = random.getrandbits
decode = os.fsdecode


class Surroundings:
    """A plugin that restores the process after each file, or says why it cannot.

    It keeps changes that belong to all files: by fixtures of scope session, by conftest files and plugins,
    and variables that a module sets when it is imported.
    """

    def __init__(self):
        self.environment, self.modules = Environment(), Modules()
        self.folder = os.getcwd()
        self.parts = [*map(Attributes, MODULES), self.environment, Signals(), Descriptors(), self.modules, Values()]
        self.wanted = self.look()
        # By part: a mark of the process as it is wanted, or None where that is not known.
        self.marks = [part.mark() for part in self.parts]
        self.given, self.hidden = {}, {}
        self.threads = count_threads()
        self.seeded = None
        # Until module random is used or seeded, both give the same numbers.
        self.twin = random.Random()
        self.twin.setstate(random.getstate())
        self.spec = None
        self.ready = False
        self.restoring = False
        Environment.listen(self.hear)

    def look(self):
        return [part.look() for part in self.parts]

    @staticmethod
    def random_numbers():
        return random.getstate()[1][:-1]

    def begin(self, spec_file, variables):
        """A file begins, for which these variables are set."""
        self.restoring = True
        self.give(variables)
        self.restoring = False
        self.spec = spec_file.split("::", 1)[0]
        self.spec_path = None
        self.reasons = []

    def give(self, variables):
        """Sets a file's variables, of which most are those of the file before, and takes back the others."""
        environment, place = self.environment, self.parts.index(self.environment)
        wanted = self.wanted[place]
        for key in self.given.keys() - variables.keys():
            value = self.hidden.pop(key)
            self.want(environment, key, value)
            environment.put_back(key, value)
        for key, value in variables.items():
            if key not in self.given:
                self.hidden[key] = wanted.get(key, MISSING)
            if wanted.get(key) != value:
                wanted[key] = value
                environment.environ[key] = value
        self.given = variables
        self.marks[place] = environment.mark()

    def real_spec(self):
        """The path of the file, which is seldom asked for."""
        if self.spec_path is None:
            self.spec_path = os.path.realpath(os.path.join(self.folder, self.spec))
        return self.spec_path

    @staticmethod
    def changes(part, old, new):
        """Part, key, old and new value of each difference in a part."""
        by_identity = isinstance(part, Attributes)
        if not by_identity and old == new:
            return
        if by_identity and old.keys() == new.keys() and are_same(old.values(), new.values()):
            return
        for key in {**old, **new}:
            was, now = old.get(key, MISSING), new.get(key, MISSING)
            if was is now or (not by_identity and was == now):
                continue
            yield part, key, was, now

    def adopt(self, before):
        """Adds the changes since `before` to the state that all files should find."""
        for part, old in zip(self.parts, before):
            for _, key, _, now in self.changes(part, dict(old), part.look()):
                self.want(part, key, now)

    def want(self, part, key, value):
        place = self.parts.index(part)
        wanted = self.wanted[place]
        self.marks[place] = None
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
        # A conftest file: they are loaded before the file's own module. Of those that were there
        # before, pytest reports each as well.
        if self.ready:
            self.adopt(self.wanted)

    def hear(self, key, value):
        """Of variables: one that a module sets while it is imported would not be set again."""
        if self.restoring or self.spec is None:
            return
        frame = sys._getframe(1)
        while frame and frame.f_code.co_name != "<module>":
            frame = frame.f_back
        if frame is None or frame.f_globals.get("__name__") == "__main__":
            return
        if os.path.realpath(frame.f_globals.get("__file__") or "") != self.real_spec():
            self.want(self.environment, decode(key), value if value is MISSING else decode(value))

    def restore(self):
        """Undoes the changes of the file. Returns why the process should run no other trial, or None."""
        self.restoring = True
        try:
            self.wait_for_threads()
            for place, part in enumerate(self.parts):
                if not self.is_unchanged(part, self.marks[place]):
                    self.restore_part(place, part)
            self.restore_random()
            self.look_at_streams()
        finally:
            self.restoring = False
        return text("; ".join(self.reasons), 500) if self.reasons else None

    @staticmethod
    def is_unchanged(part, mark):
        try:
            return mark is not None and part.is_as(mark)
        except Exception:
            return False  # a test may have put anything there

    def restore_part(self, place, part):
        undone = None
        if part is self.modules and self.marks[place] is not None:
            # Nearly each file adds its own.
            undone = self.keep_added(part, self.marks[place])
        if undone is None:
            undone = False
            for _, key, was, now in self.changes(part, self.wanted[place], part.look()):
                self.undo(part, key, was, now)
                undone = True
        # What was undone is looked at again after the next file.
        self.marks[place] = None if undone else part.mark()

    def keep_added(self, part, mark):
        """Takes modules that came new; whether any was undone, or None if anything else has changed."""
        try:
            added = part.added(mark)
        except Exception:
            return None
        if added is None:
            return None
        for name, module in added:
            self.undo(part, name, MISSING, module)
        return any(self.is_made_by_hand(name, module) for name, module in added)

    def restore_random(self):
        if getrandbits(64) == self.twin.getrandbits(64) and not self.seeded:
            return
        if self.seeded:
            random.setstate(self.seeded)
        else:
            random.seed()
        self.twin.setstate(random.getstate())

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
        """Whether it was put into sys.modules other than by the import system."""
        if not isinstance(module, ModuleType):
            return "." not in name
        return "." not in name and getattr(module, "__spec__", None) is None and not hasattr(module, "__file__")

    def path(self, was, now):
        """sys.path as it was, with the folders that pytest adds or that modules were imported from."""
        added = [entry for entry in now if entry not in was]
        if not added:
            return was
        folders = {os.path.dirname(self.real_spec())}
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and file != self.real_spec():
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
