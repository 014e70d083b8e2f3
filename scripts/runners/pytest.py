"""A runner of pytest files for rrr-slave --adapter pytest; the protocol is in rrr-runner(7).

usage: python THIS fork|none [--preload FILE]... [-- PYTEST-OPTION...]

pytest, its plugins and the topmost conftest files are loaded once, and one session is begun. Then each
file (or node id) is collected and run in a fork of this process (fork), so that nothing it does, its
fixtures of scope session included, can reach the next one; or in this process (none). Hooks at the
start and the end of the session run once, here.
"""

import atexit
import gc
import importlib.util
import json
import os
import select
import signal
import sys
import time
import traceback

# As `python -m pytest` does; this file's own folder must not hide pytest behind its name.
sys.path[0] = ""

from pytest import hookimpl  # noqa: E402

# Most characters of one text of an example.
TEXT = 16 * 1024
# Most characters of all examples of a file.
TOTAL = 4 * 1024 * 1024
# Seconds from asking a file to end to killing it.
GRACE = 1.0
# Seconds between looks at a fork whose pipe is held open by somebody else.
LOOK = 0.05


def text(value):
    value = str(value).encode("utf-8", "replace").decode()
    if len(value) <= TEXT:
        return value
    return f"{value[:TEXT]} [... {len(value) - TEXT} characters dropped]"


class Lines:
    """Lines of a pipe that may come in pieces."""

    def __init__(self, fd):
        self.fd = fd
        self.buffer = b""
        self.ended = False
        os.set_blocking(fd, False)

    def poll(self):
        """The next line, or None when there is none yet."""
        while b"\n" not in self.buffer:
            if self.ended:
                return None
            try:
                chunk = os.read(self.fd, 65536)
            except BlockingIOError:
                return None
            self.ended = not chunk
            self.buffer += chunk
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line

    def wait(self):
        """The next line, however long it takes; None at the end."""
        while True:
            line = self.poll()
            if line is not None or self.ended:
                return line
            select.select([self.fd], [], [])


class Recorder:
    """A plugin that tells what happens.

    One for all files: to make a plugin known costs a fork more than the test of a small file.
    """

    def begin(self, tell):
        """From now on this is told, and nothing is known of another file."""
        self.tell = tell
        self.pid = os.getpid()
        self.reports = []
        self.outside = []
        self.deselected = 0

    def say(self, **event):
        # A test that forks and goes on must not speak for its parent.
        if os.getpid() == self.pid:
            self.tell(event)

    def about(self, nodeid, location):
        file, line, _ = location
        name = nodeid.split("::", 1)[-1].replace("::", " ")
        return {
            "id": text(nodeid),
            "name": text(name),
            "file": file,
            "line": None if line is None else line + 1,
        }

    def pytest_runtest_logstart(self, nodeid, location):
        self.reports = []
        self.say(started=self.about(nodeid, location))

    def pytest_runtest_logreport(self, report):
        if report.outcome != "rerun":
            self.reports.append(report)

    def pytest_runtest_logfinish(self, nodeid, location):
        status, message = "passed", None
        for report in self.reports:
            if report.failed:
                # What goes wrong in the test itself is its failure; around it, an error.
                if status not in ("failed", "error"):
                    status = "failed" if report.when == "call" else "error"
                    message = report.longreprtext
            elif report.skipped and status == "passed":
                status = "pending"
                message = getattr(report, "wasxfail", None) or reason(report)
        if not self.reports:
            status, message = "error", "pytest reported nothing of it"
        example = self.about(nodeid, location)
        example["status"] = status
        example["duration_ms"] = round(1000 * sum(r.duration for r in self.reports))
        if message:
            example["message"] = text(message)
        self.say(example=example)

    def pytest_collectreport(self, report):
        if report.failed:
            self.outside.append(text(f"{report.nodeid}: {report.longreprtext}"))
        elif report.skipped:
            example = self.about(report.nodeid, (report.fspath, None, ""))
            example.update(status="pending", message=text(reason(report)))
            self.say(example=example)

    def pytest_deselected(self, items):
        self.deselected += len(items)

    def pytest_internalerror(self, excrepr):
        self.outside.append(text(excrepr))

    def pytest_keyboard_interrupt(self, excinfo):
        self.outside.append(text(f"the session was ended: {excinfo.value!r}"))

    def done(self, exitstatus):
        """How the session ended, as the end of a trial."""
        if exitstatus == 5 and not self.outside:
            if self.deselected:
                return {"message": f"all {self.deselected} tests are deselected"}
            return {"nothing": "no tests were collected"}
        if exitstatus not in (0, 1, 5) and not self.outside:
            return {"status": "error", "message": f"pytest ended with status {int(exitstatus)}"}
        if self.outside:
            return {"status": "error", "outside": self.outside}
        return {"exitstatus": int(exitstatus)}


def be_a_worker(config):
    """Lets fixtures know which worker they are in, as those for databases of pytest-django want to.

    After all plugins are configured: what they do as part of pytest-xdist they would do with its
    master, of whom there is none here. pytest-cov asks later.
    """
    if not hasattr(config, "workerinput") and not config.pluginmanager.hasplugin("_cov"):
        config.workerinput = {
            "workerid": os.environ["PYTEST_XDIST_WORKER"],
            "workercount": int(os.environ["PYTEST_XDIST_WORKER_COUNT"]),
            "testrunuid": os.environ["PYTEST_XDIST_TESTRUNUID"],
            "mainargv": sys.argv,
        }
        config.workeroutput = {}


def reason(report):
    """Why something was skipped."""
    longrepr = report.longrepr
    return longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)


class Progress:
    """What is known of a trial so far, and its result."""

    def __init__(self, spec_file):
        self.spec_file = spec_file
        self.counts = {"passed": 0, "pending": 0, "failed": 0, "error": 0}
        self.examples = []
        self.size = 0
        self.cut = 0
        self.running = None
        self.done = None

    def take(self, event):
        if "started" in event:
            self.running = event["started"]
        elif "example" in event:
            self.running = None
            self.counts[event["example"]["status"]] += 1
            self.keep(event["example"])
        else:
            self.running = None
            self.done = event["done"]

    def keep(self, example):
        # What is not passed gets the last quarter of the room.
        size = 100 + sum(len(str(value)) for value in example.values())
        room = TOTAL * 3 // 4 if example["status"] == "passed" else TOTAL
        if self.size + size > room:
            self.cut += 1
        else:
            self.size += size
            self.examples.append(example)

    def result(self, died=None, status=None, **fields):
        done = self.done or {}
        message = done.get("message")
        failed = self.counts["failed"] + self.counts["error"]
        if died:
            message = f"the process of the test {died}"
            if self.running:
                self.keep({**self.running, "status": "error", "message": f"{message} in this test"})
                message += f", in test '{self.running['id']}'"
            status = status or "error"
        elif done.get("status"):
            status = done["status"]
        elif failed:
            status = "failed"
        elif done.get("exitstatus") == 1:
            status, message = "failed", "pytest ended with status 1, though no test failed"
        elif self.counts["passed"]:
            status = "passed"
        elif "nothing" in done and not self.counts["pending"]:
            status, message = "error", done["nothing"]
        else:
            status = "pending"
        for error in done.get("outside", ()):
            self.keep({"id": self.spec_file, "name": "(outside of tests)", "status": "error", "message": error})
        answer = {
            "status": status,
            "passed": self.counts["passed"],
            "pending": self.counts["pending"],
            "failed": failed,
            "examples": self.examples,
            **fields,
        }
        if self.cut:
            answer["examples_cut"] = self.cut
        if message:
            answer["message"] = message
        return answer


class Suite:
    """pytest in this process."""

    def __init__(self, options, preload):
        from _pytest.config import _prepareconfig

        self.config = _prepareconfig(options)
        self.capture = self.config.pluginmanager.getplugin("capturemanager")
        for path in preload:
            name = os.path.splitext(os.path.basename(path))[0]
            spec = importlib.util.spec_from_file_location(name, path)
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            spec.loader.exec_module(module)
        self.session = None

    def start_capture(self):
        """As pytest does before it configures itself: begun, and suspended while nothing is tested."""
        if self.capture:
            self.capture.stop_global_capturing()
            self.capture.start_global_capturing()
            self.capture.suspend_global_capture()

    def begin(self):
        """Begins the session of all files."""
        from _pytest.main import Session

        self.start_capture()
        self.config._do_configure()
        self.session = Session.from_config(self.config)
        self.session.exitstatus = 0
        self.config.hook.pytest_sessionstart(session=self.session)
        be_a_worker(self.config)
        self.recorder = Recorder()
        self.config.pluginmanager.register(self.recorder, "rrr-recorder")

    def prepare_to_fork(self):
        """Leaves as little as can be to what each fork does."""
        if self.capture:
            # What one of them does not live to read the next would find in the same file.
            self.capture.stop_global_capturing()
        self.plugins = self.config.pluginmanager.get_plugins()
        # Else each makes a root for tmp_path of its own, which stays locked, and in the way, for days.
        factory = getattr(self.config, "_tmp_path_factory", None)
        if factory:
            factory.getbasetemp()

    def alone(self, spec_file, tell):
        """Runs a file in a fork of the session, after which this process is of no more use."""
        config, session = self.config, self.session
        config.args = [spec_file]
        config.option.file_or_dir = [spec_file]
        self.start_capture()

        def run():
            config.hook.pytest_collection(session=session)
            config.hook.pytest_runtestloop(session=session)
            if session.testsfailed:
                return 1
            return 0 if session.testscollected else 5

        exitstatus = session.exitstatus = self.record(run, tell)
        for name, fields in (
            ("pytest_sessionfinish", {"session": session, "exitstatus": exitstatus}),
            ("pytest_unconfigure", {"config": config}),
        ):
            try:
                # Of conftest files that came with the file: nobody else knows them.
                config.pluginmanager.subset_hook_caller(name, self.plugins)(**fields)
            except BaseException as error:
                self.recorder.outside.append(text(traceback.format_exc()))
                session.exitstatus = getattr(error, "returncode", None) or session.exitstatus
        return self.recorder.done(session.exitstatus)

    def among_others(self, spec_file, tell):
        """Runs a file in the session."""
        session = self.session
        session.testsfailed = session.testscollected = 0
        session.shouldfail = session.shouldstop = False

        def run():
            session.perform_collect([spec_file])
            if session.testsfailed and not self.config.option.continue_on_collection_errors:
                return 2
            for place, item in enumerate(session.items):
                # The session itself as the last next item keeps its fixtures for the next file.
                last = place + 1 == len(session.items)
                following = session if last else session.items[place + 1]
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if session.shouldfail or session.shouldstop:
                    break
            return 0 if session.items else 5

        exitstatus = self.record(run, tell, keep=session)
        if exitstatus in (2, 3):
            self.start_capture()  # pytest thought that this was the end
        return self.recorder.done(exitstatus)

    def record(self, run, tell, keep=None):
        """Has `run` make and record a file's tests; with which status pytest would end.

        Fixtures are torn down, but those of `keep`.
        """
        import pytest

        config, session, recorder = self.config, self.session, self.recorder
        recorder.begin(tell)
        self.restart_clock()
        exitstatus = 0
        try:
            exitstatus = run()
        except pytest.UsageError as error:
            exitstatus = 4
            recorder.outside.append(text(error))
        except session.Failed:
            exitstatus = 1  # by -x: the failure itself was told
        except (KeyboardInterrupt, pytest.exit.Exception):
            exitstatus = 2
            config.hook.pytest_keyboard_interrupt(excinfo=pytest.ExceptionInfo.from_current())
        except Exception:
            exitstatus = 3
            config.notify_exception(pytest.ExceptionInfo.from_current(), config.option)
        try:
            # Nothing is left of a file that was broken off.
            session._setupstate.teardown_exact(keep)
        except BaseException:
            recorder.outside.append(text(traceback.format_exc()))
        self.summarize(exitstatus)
        return exitstatus

    def restart_clock(self):
        """What pytest prints as its time is that of one file."""
        reporter = self.config.pluginmanager.getplugin("terminalreporter")
        if hasattr(reporter, "_session_start"):
            reporter._session_start = type(reporter._session_start)()
        elif reporter is not None:
            reporter._sessionstarttime = time.time()

    def summarize(self, exitstatus):
        """Prints what pytest prints at its end, file by file."""
        reporter = self.config.pluginmanager.getplugin("terminalreporter")
        if reporter is None:
            return
        if self.capture:
            self.capture.suspend_global_capture()
        reporter.write_line("")
        if exitstatus != 3 and not getattr(reporter, "no_summary", False):
            self.config.hook.pytest_terminal_summary(
                terminalreporter=reporter, exitstatus=exitstatus, config=self.config
            )
        reporter.pytest_unconfigure()  # what interrupted it
        reporter.summary_stats()
        reporter.stats.clear()
        reporter._main_color = None
        reporter._numcollected = 0
        reporter._already_displayed_warnings = None
        reporter._keyboardinterrupt_memo = None
        getattr(reporter, "_progress_nodeids_reported", set()).clear()

    def end(self, whole):
        """Ends the one session: the last fixtures and hooks. The status with which pytest would end.

        `whole`: all of its tests ran in this process.
        """
        session, hook = self.session, self.config.hook
        session.exitstatus = 0
        session.testsfailed = 0
        session.shouldfail = session.shouldstop = False

        def attempt(step, **fields):
            try:
                step(**fields)
                return True
            except BaseException as error:
                traceback.print_exc()
                session.exitstatus = getattr(error, "returncode", None) or session.exitstatus or 1
                return False

        attempt(session._setupstate.teardown_exact, nextitem=None)
        if whole:
            # Plugins judge the whole run behind its last test, by its coverage for example.
            session.items = []
            attempt(hook.pytest_runtestloop, session=session)
            if session.testsfailed:
                print("a plugin failed the session after its last test", file=sys.stderr)
                session.exitstatus = session.exitstatus or 1
        before = session.exitstatus
        went_well = attempt(hook.pytest_sessionfinish, session=session, exitstatus=before)
        status = int(session.exitstatus or 0)
        if went_well and status not in (0, before):
            print(f"a hook set the session's exit status to {status}", file=sys.stderr)
        attempt(self.config._ensure_unconfigure)
        return status or int(session.exitstatus or 0)


class Main:
    def __init__(self, argv):
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
        # Descriptors of our own: a program that a test starts must not get them.
        for fd in (3, 4):
            os.set_inheritable(fd, False)
        self.orders = Lines(3)
        slot = os.environ.get("RRR_SLOT", "0")
        os.environ.setdefault("PYTEST_XDIST_WORKER", f"gw{slot}")
        os.environ.setdefault("PYTEST_XDIST_WORKER_COUNT", os.environ.get("NUM_SLAVES", "1"))
        os.environ.setdefault("PYTEST_XDIST_TESTRUNUID", os.environ.get("RRR_RUN_ID", ""))

    def answer(self, **line):
        data = json.dumps(line).encode() + b"\n"
        while data:
            data = data[os.write(4, data) :]

    def run(self):
        hello = json.loads(self.orders.wait() or sys.exit(0))
        if 1 not in hello["versions"]:
            sys.exit("pytest.py speaks version 1 of the runner protocol")
        self.suite = Suite(self.options, self.preload)
        self.suite.begin()
        if self.isolation == "fork":
            self.suite.prepare_to_fork()
        gc.collect()
        gc.freeze()
        flush()
        self.answer(type="hello", version=1, capabilities=["stop"] if self.isolation == "fork" else [])
        while True:
            line = self.orders.wait()
            if line is None:
                break
            order = json.loads(line)
            if order["type"] != "run":
                continue
            run = self.run_apart if self.isolation == "fork" else self.run_here
            result = run(order)
            flush()
            self.answer(type="result", trial=order["trial"], **result)
        status = self.suite.end(self.isolation == "none")
        flush()
        return status

    def run_here(self, order):
        progress = Progress(order["spec_file"])
        os.environ.update(order["env"])
        progress.take({"done": self.suite.among_others(order["spec_file"], progress.take)})
        return progress.result()

    def run_apart(self, order):
        progress = Progress(order["spec_file"])
        source, sink = os.pipe()
        flush()
        pid = os.fork()
        if pid == 0:
            self.child(order, source, sink)
        os.close(sink)
        try:
            os.setpgid(pid, pid)
        except OSError:
            pass  # it did so itself, and may even have ended
        stopped, status = self.watch(pid, Lines(source), progress)
        # What it started and left in its group; the slave finds the rest.
        kill(pid, signal.SIGKILL)
        os.close(source)
        if stopped:
            return progress.result(died="was stopped", status="timeout")
        if progress.done is not None:
            return progress.result()
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            return progress.result(died=f"died (signal {number})", signal=number)
        code = os.WEXITSTATUS(status)
        return progress.result(died=f"ended early (exit code {code})", exit_code=code)

    def watch(self, pid, lines, progress):
        """Waits for the end of a fork and takes what it tells; whether it was stopped, and its status."""
        stopped, kill_at = False, None
        while True:
            take_all(lines, progress)
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                take_all(lines, progress)
                return stopped and progress.done is None, status
            now = time.monotonic()
            if progress.done is not None and kill_at is None:
                kill_at = now + GRACE
            if kill_at is not None and now >= kill_at:
                kill(pid, signal.SIGKILL)
                kill_at = now + 1
            fds = [] if self.orders.ended else [self.orders.fd]
            if not lines.ended:
                fds.append(lines.fd)
            select.select(fds, [], [], 0.0005 if lines.ended else LOOK)
            line = self.orders.poll()
            if line is None:
                if not self.orders.ended or stopped:
                    continue
            elif json.loads(line)["type"] != "stop":
                continue
            stopped = True
            kill_at = time.monotonic() + GRACE
            kill(pid, signal.SIGTERM)

    def child(self, order, source, sink):
        me = os.getpid()
        code = 1
        try:
            os.setpgid(0, 0)
            os.close(source)
            # A test may use the numbers for files of its own, but not speak for us.
            os.close(3)
            os.close(4)
            try:
                # If memory runs out this process should go, and not the one that forks the next.
                with open("/proc/self/oom_score_adj", "w") as score:
                    score.write("500")
            except OSError:
                pass
            os.environ.update(order["env"])

            def tell(event):
                flush()
                data = json.dumps(event).encode() + b"\n"
                while data:
                    data = data[os.write(sink, data) :]

            # Hooks at exit belong to the process that loaded them, so only those run that come new.
            atexit._clear()
            done = self.suite.alone(order["spec_file"], tell)
            if os.getpid() == me:
                atexit._run_exitfuncs()
                tell({"done": done})
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            flush()
            os._exit(code)


def take_all(lines, progress):
    while True:
        line = lines.poll()
        if line is None:
            return
        progress.take(json.loads(line))


def kill(group, number):
    try:
        os.killpg(group, number)
    except OSError:
        pass


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass


if __name__ == "__main__":
    sys.exit(Main(sys.argv[1:]).run())
