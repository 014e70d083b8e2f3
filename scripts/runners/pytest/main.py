"""The runner's life: it reads orders, has them run in a fork or here, and answers."""

import atexit
import gc
import os
import sys
import time
import traceback
from os import WEXITSTATUS, WIFSIGNALED, WNOHANG, WTERMSIG, _exit, fork, killpg, waitpid
from signal import SIGKILL, SIGTERM

from . import native
from .parts import in_a_high_place
from .progress import Progress
from .suite import Suite
from .wire import Lines, decode, getpid, select, send

# Seconds from asking a file to end to killing it.
GRACE = 1.0
# Seconds between checks of a fork whose pipe another process holds open.
LOOK = 0.05


class Main:
    def __init__(self, argv):
        self.pid = getpid()
        self.isolation = argv.pop(0)
        self.preload = []
        while argv:
            word = argv.pop(0)
            if word == "--":
                break
            if word != "--preload":
                sys.exit(f"unknown argument '{word}'")
            self.preload.append(argv.pop(0))
        self.options = argv
        # A program that a test starts must not get the descriptors of the protocol.
        for fd in (3, 4):
            os.set_inheritable(fd, False)
        # Tests may close the low ones, though they stay open for those that do not.
        self.orders, self.answers = Lines(in_a_high_place(3)), in_a_high_place(4)
        slot = os.environ.get("RRR_SLOT", "0")
        os.environ.setdefault("PYTEST_XDIST_WORKER", f"gw{slot}")
        os.environ.setdefault("PYTEST_XDIST_WORKER_COUNT", os.environ.get("NUM_SLAVES", "1"))
        os.environ.setdefault("PYTEST_XDIST_TESTRUNUID", os.environ.get("RRR_RUN_ID", ""))

    def answer(self, **line):
        # A process that a test, or a conftest file, has forked must not answer for this one.
        if getpid() != self.pid:
            _exit(0)
        send(self.answers, line)

    def run(self):
        hello = decode(self.orders.wait() or sys.exit(0))
        if 1 not in hello["versions"]:
            sys.exit("rrr_pytest.py speaks version 1 of the runner protocol")
        native.set_arguments(self.options)
        self.seed = native.Seed()
        self.suite = Suite(self.options, self.preload)
        forks = self.isolation == "fork"
        self.suite.begin(whole=not forks and os.environ.get("NUM_SLAVES", "1") == "1")
        if forks:
            self.suite.prepare_to_fork()
            # Collections in the forks would else copy all memory. Each fork takes it back at once.
            gc.collect()
            gc.freeze()
        else:
            self.suite.prepare_to_stay()
        flush()
        self.answer(type="hello", version=1, capabilities=["stop"] if forks else [])
        while True:
            line = self.orders.wait()
            if line is None:
                break
            order = decode(line)
            if order["type"] != "run":
                continue
            result = self.run_apart(order) if forks else self.run_here(order)
            flush()
            self.answer(type="result", trial=order["trial"], **result)
        status = self.suite.end(self.isolation == "none")
        flush()
        return status

    def run_here(self, order):
        progress = Progress(order["spec_file"])
        surroundings = self.suite.surroundings
        surroundings.begin(order["spec_file"], order["env"])
        native.set_arguments([*self.options, order["spec_file"]])
        progress.take({"done": self.suite.among_others(order["spec_file"], progress.take)})
        if getpid() != self.pid:
            flush()
            _exit(0)
        replace = surroundings.restore()
        return progress.result(**({"replace": replace} if replace else {}))

    def run_apart(self, order):
        progress = Progress(order["spec_file"])
        source, sink = os.pipe()
        flush()
        self.seed.remember()
        pid = fork()
        if pid == 0:
            self.child(order, source, sink)
        os.close(sink)
        try:
            os.setpgid(pid, pid)
        except OSError:
            pass  # it did so itself, and may even have ended
        stopped, status = self.watch(pid, Lines(source), progress)
        # What it started and left in its group; the slave finds the rest.
        kill(pid, SIGKILL)
        os.close(source)
        if stopped:
            return progress.result(died="was stopped", status="timeout")
        if progress.done is not None:
            return progress.result()
        if WIFSIGNALED(status):
            number = WTERMSIG(status)
            return progress.result(died=f"died (signal {number})", signal=number)
        code = WEXITSTATUS(status)
        return progress.result(died=f"ended early (exit code {code})", exit_code=code)

    def watch(self, pid, lines, progress):
        """Waits for a fork to end and reads its reports. Returns whether it was stopped, and its status."""
        stopped, kill_at = False, None
        while True:
            take_all(lines, progress)
            ended, status = waitpid(pid, WNOHANG)
            if ended:
                take_all(lines, progress)
                return stopped and progress.done is None, status
            now = time.monotonic()
            if progress.done is not None and kill_at is None:
                kill_at = now + GRACE
            if kill_at is not None and now >= kill_at:
                kill(pid, SIGKILL)
                kill_at = now + 1
            fds = [] if self.orders.ended else [self.orders.fd]
            if not lines.ended:
                fds.append(lines.fd)
            select(fds, [], [], 0.0005 if lines.ended else LOOK)
            line = self.orders.poll()
            if line is None:
                if not self.orders.ended or stopped:
                    continue
            elif decode(line)["type"] != "stop":
                continue
            stopped = True
            kill_at = time.monotonic() + GRACE
            kill(pid, SIGTERM)

    def child(self, order, source, sink):
        me = getpid()
        code = 1
        try:
            gc.unfreeze()
            self.seed.restore()
            os.setpgid(0, 0)
            os.close(source)
            os.close(self.orders.fd)
            os.close(self.answers)
            sink = in_a_high_place(sink)
            # A test may use the numbers for files of its own, but not answer for the runner.
            os.close(3)
            os.close(4)
            prefer_to_be_killed()
            os.environ.update(order["env"])
            native.set_arguments([*self.options, order["spec_file"]])

            def tell(event):
                flush()
                send(sink, event)

            # Hooks at exit belong to the process that loaded them, so only those run that come new.
            atexit._clear()
            done = self.suite.alone(order["spec_file"], tell)
            if getpid() == me:
                atexit._run_exitfuncs()
                tell({"done": done})
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            flush()
            _exit(code)


def prefer_to_be_killed():
    """If memory runs out this process should go, and not the one that forks the next."""
    try:
        with open("/proc/self/oom_score_adj", "w") as score:
            score.write("500")
    except OSError:
        pass


def take_all(lines, progress):
    while True:
        line = lines.poll()
        if line is None:
            return
        progress.take(decode(line))


def kill(group, number):
    try:
        killpg(group, number)
    except OSError:
        pass


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass  # a test may have put anything there
