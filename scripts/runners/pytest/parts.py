"""The parts of a process that a test may change: how each is seen, and put back.

A part has `look()`, which gives a dict, and `put_back(key, value)`; MISSING is the value of what was not
there. Most files change nothing, so a part also has `mark()`, which is cheap, and `is_as(mark)`: whether
nothing has changed since. Functions are taken from their modules here, before a test can replace them there.
"""

import _signal
import _thread
import builtins
import gc
import io
import json
import locale
import logging
import os
import pathlib
import posixpath
import random
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from fcntl import F_DUPFD_CLOEXEC, fcntl
from itertools import islice
from operator import is_
from os import chdir, dup2, fstat, getcwd, umask

MISSING = object()
# Where descriptors are that no test should meet.
HIGH = 512

# Modules that pytest and the runner, or nearly all tests, use.
MODULES = (builtins, gc, io, json, logging, os, pathlib, posixpath, random, select, shutil, signal, socket)
MODULES += (subprocess, sys, tempfile, threading, time, traceback, json.encoder, json.decoder)
# Members of module sys that belong to other parts, or that change by themselves.
BY_ITSELF = {"argv", "orig_argv", "modules", "path", "last_exc", "last_type", "last_value", "last_traceback"}
BY_ITSELF |= {"ps1", "ps2", "path_importer_cache"}


def in_a_high_place(fd):
    """A copy of a descriptor, out of the way of tests that close the low ones."""
    try:
        return fcntl(fd, F_DUPFD_CLOEXEC, HIGH)
    except (OSError, ValueError):
        return fcntl(fd, F_DUPFD_CLOEXEC, 10)


def are_same(some, others):
    """Whether both hold the same objects, compared by identity."""
    return len(some) == len(others) and all(map(is_, some, others))


class Attributes:
    """Names of a module or class."""

    def __init__(self, owner):
        self.owner = owner
        self.names = vars(owner)
        self.values = self.names.values()
        self.name = owner.__name__
        self.skipped = BY_ITSELF if owner is sys else ()

    def look(self):
        found = dict(self.names)
        for name in self.skipped:
            found.pop(name, None)
        return found

    def mark(self):
        # A dict keeps its order: other names of the same values end with another one.
        return next(reversed(self.names)), tuple(self.values)

    def is_as(self, mark):
        last, values = mark
        # Not by equality: an emptied os.environ equals the {} that a test may have put in its place.
        return are_same(self.values, values) and next(reversed(self.names)) == last

    def put_back(self, key, value):
        if value is MISSING:
            delattr(self.owner, key)
        else:
            setattr(self.owner, key, value)

    def describe(self, key):
        return f"{self.name}.{key}"


class Variables(dict):
    """The data of os.environ, of which each change is heard.

    An audit hook would hear it too, but costs each file as much as all looks at the process.
    """

    hear = None

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        if self is Environment.raw and self.hear:
            self.hear(key, value)

    def __delitem__(self, key):
        super().__delitem__(key)
        if self is Environment.raw and self.hear:
            self.hear(key, MISSING)


class Environment:
    environ = os.environ
    # As bytes; os.environ decodes them at each look.
    raw = getattr(os.environ, "_data", os.environ)

    @classmethod
    def listen(cls, hear):
        """Has `hear` called with the bytes of each variable that is set, or with MISSING."""
        if type(cls.raw) is not dict:
            return
        cls.raw = Variables(cls.raw)
        for environ in (os.environ, os.environb):
            environ._data = cls.raw
        Variables.hear = staticmethod(hear)

    def look(self):
        return dict(self.environ)

    def mark(self):
        return dict(self.raw)

    def is_as(self, mark):
        return mark == self.raw

    def put_back(self, key, value):
        if value is MISSING:
            del self.environ[key]
        else:
            self.environ[key] = value
        if key == "TZ":
            tzset()

    def describe(self, key):
        return f"variable {key}"


class Signals:
    numbers = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
    get, set = staticmethod(signal.getsignal), staticmethod(signal.signal)

    def look(self):
        return {number: self.get(number) for number in self.numbers}

    def mark(self):
        return tuple(map(_signal_handler, self.numbers))

    def is_as(self, mark):
        return are_same(self.mark(), mark)

    def put_back(self, key, value):
        self.set(key, value)

    def describe(self, key):
        return f"the handler of signal {key}"


class Descriptors:
    """stdin, stdout and stderr, as descriptors."""

    def __init__(self):
        self.copies = {}
        for fd in (0, 1, 2):
            try:
                self.copies[fd] = in_a_high_place(fd)
            except OSError:
                pass

    def look(self):
        found = {}
        for fd in self.copies:
            try:
                status = fstat(fd)
                found[fd] = (status.st_dev, status.st_ino)
            except OSError:
                pass
        return found

    def mark(self):
        return self.look()

    def is_as(self, mark):
        return self.look() == mark

    def put_back(self, key, value):
        dup2(self.copies[key], key)

    def describe(self, key):
        return f"descriptor {key}"


class Modules:
    """sys.modules: imported modules stay, as in pytest; modules inserted by hand are removed."""

    modules = sys.modules

    def look(self):
        return dict(self.modules)

    def mark(self):
        return next(reversed(self.modules)), tuple(self.modules.values())

    def is_as(self, mark):
        return self.added(mark) == []

    def added(self, mark):
        """The names and modules that came new since `mark`, or None if anything else has changed."""
        last, known = mark
        values = tuple(self.modules.values())
        names = list(islice(self.modules, len(known) - 1, None))
        if not are_same(values[: len(known)], known) or names[0] != last:
            return None
        return list(zip(names[1:], values[len(known) :]))

    def put_back(self, key, value):
        if value is MISSING:
            del self.modules[key]
        else:
            self.modules[key] = value

    def describe(self, key):
        return f"sys.modules[{key!r}]"


def working_directory():
    try:
        return getcwd()
    except OSError:
        return None


def mask():
    value = umask(0o077)
    umask(value)
    return value


def set_collector(value):
    enabled, threshold = value
    set_threshold(*threshold)
    (enable if enabled else disable)()


def set_limits(value):
    for limit, pair in zip(LIMITS, value):
        setrlimit(limit, pair)


def set_root_logger(value):
    disabled, level, handlers = value
    logging.root.manager.disable = disabled
    logging.root.setLevel(level)
    logging.root.handlers[:] = handlers


_signal_handler = _signal.getsignal
set_threshold, enable, disable, is_enabled = gc.set_threshold, gc.enable, gc.disable, gc.isenabled
get_threshold, tzset = gc.get_threshold, time.tzset
BLOCK, NO_SIGNALS = int(signal.SIG_BLOCK), ()
getrlimit, setrlimit = resource.getrlimit, resource.setrlimit
LIMITS = sorted({getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")})
# Without the names that module signal makes of the numbers.
getitimer, setitimer, sigmask = signal.getitimer, signal.setitimer, _signal.pthread_sigmask
setlocale, get_socket_timeout = locale.setlocale, socket.getdefaulttimeout
count_threads = _thread._count

# Name, how it is read, and how it is set.
VALUES = {
    "the working directory": (working_directory, chdir),
    "the umask": (mask, umask),
    "the recursion limit": (sys.getrecursionlimit, sys.setrecursionlimit),
    "the switch interval": (sys.getswitchinterval, sys.setswitchinterval),
    "the garbage collector": (lambda: (is_enabled(), get_threshold()), set_collector),
    "the trace function": (sys.gettrace, sys.settrace),
    "the profile function": (sys.getprofile, sys.setprofile),
    "the locale": (lambda: setlocale(locale.LC_ALL), lambda value: setlocale(locale.LC_ALL, value)),
    "the default timeout of sockets": (get_socket_timeout, socket.setdefaulttimeout),
    "the root logger": (
        lambda: (logging.root.manager.disable, logging.root.level, tuple(logging.root.handlers)),
        set_root_logger,
    ),
    "the resource limits": (lambda: tuple(map(getrlimit, LIMITS)), set_limits),
    "the interval timer": (
        lambda: getitimer(signal.ITIMER_REAL)[0] > 0,
        lambda _: setitimer(signal.ITIMER_REAL, 0),
    ),
    "the blocked signals": (
        lambda: sigmask(BLOCK, NO_SIGNALS),
        lambda value: sigmask(_signal.SIG_SETMASK, value),
    ),
    "sys.path": (lambda: tuple(sys.path), lambda value: sys.path.__setitem__(slice(None), value)),
}


READS = [read for read, _ in VALUES.values()]


class Values:
    def look(self):
        return {name: read() for name, (read, _) in VALUES.items()}

    def mark(self):
        return [read() for read in READS]

    def is_as(self, mark):
        return self.mark() == mark

    def put_back(self, key, value):
        VALUES[key][1](value)

    def describe(self, key):
        return key
