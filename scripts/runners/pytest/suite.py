"""pytest in this process: one session, of which each file is collected and run."""

import importlib.util
import os
import sys
import time
import traceback
from os import chdir, getcwd

import pytest

from .directories import Directories
from .options import end_coverage, switch_off
from .recorder import Recorder
from .surroundings import Surroundings


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


class Suite:
    """pytest in this process."""

    def __init__(self, options, preload):
        from _pytest.config import _prepareconfig

        self.config = _prepareconfig(options)
        switch_off(self.config)
        self.capture = self.config.pluginmanager.getplugin("capturemanager")
        for path in preload:
            name = os.path.splitext(os.path.basename(path))[0]
            spec = importlib.util.spec_from_file_location(name, path)
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            spec.loader.exec_module(module)
        self.session = None
        self.folder = getcwd()

    def start_capture(self):
        """As pytest does before it configures itself: begun, and suspended while nothing is tested."""
        if self.capture:
            self.capture.stop_global_capturing()
            self.capture.start_global_capturing()
            self.capture.suspend_global_capture()

    def capture_is_broken(self):
        """Whether a test has closed one of the files by which pytest captures."""
        capturing = getattr(self.capture, "_global_capturing", None)
        streams = (getattr(capturing, "out", None), getattr(capturing, "err", None))
        return any(stream.tmpfile.closed for stream in streams if stream is not None)

    def renew_capture(self):
        """Begins capturing again, after pytest has ended it or a test has closed a part of it."""
        if self.capture and self.capture._global_capturing:
            for stream in ("in_", "out", "err"):
                try:
                    getattr(self.capture._global_capturing, stream).done()
                except Exception:
                    pass  # it was off, or is closed
            self.capture._global_capturing = None
        self.start_capture()

    def begin(self, whole):
        """Begins the session of all files; `whole`: all of the run's tests are run in this process."""
        from _pytest.main import Session

        self.start_capture()
        self.config._do_configure()
        self.session = Session.from_config(self.config)
        self.session.exitstatus = 0
        self.config.hook.pytest_sessionstart(session=self.session)
        if not whole:
            end_coverage(self.config)
        be_a_worker(self.config)
        self.recorder = Recorder()
        self.config.pluginmanager.register(self.recorder, "rrr-recorder")

    def prepare_to_fork(self):
        """Does as much as possible before the forks, so that each of them does less."""
        if self.capture:
            # What one of them does not live to read the next would find in the same file.
            self.capture.stop_global_capturing()
        self.plugins = self.config.pluginmanager.get_plugins()
        # Else each makes a root for tmp_path of its own, which stays locked, and in the way, for days.
        factory = getattr(self.config, "_tmp_path_factory", None)
        if factory:
            factory.getbasetemp()

    def prepare_to_stay(self):
        """Keeps the state that pytest keeps within one run from one file to the next."""
        self.directories = Directories(self.session)
        self.config.pluginmanager.register(self.directories, "rrr-directories")
        self.surroundings = Surroundings()
        self.config.pluginmanager.register(self.surroundings, "rrr-surroundings")
        self.surroundings.ready = True

    def alone(self, spec_file, tell):
        """Runs a file in a fork of the session, after which this process is of no more use."""
        config, session = self.config, self.session
        config.args = [spec_file]
        config.option.file_or_dir = [spec_file]
        self.start_capture()

        def run():
            config.hook.pytest_collection(session=session)
            config.hook.pytest_runtestloop(session=session)
            self.recorder.compare(session)
            if session.testsfailed:
                return 1
            return 0 if session.testscollected else 5

        exitstatus = session.exitstatus = self.record(run, tell, starts=True)
        for name, fields in (
            ("pytest_sessionfinish", {"session": session, "exitstatus": exitstatus}),
            ("pytest_unconfigure", {"config": config}),
        ):
            try:
                # Of conftest files that came with the file: no other file uses them.
                config.pluginmanager.subset_hook_caller(name, self.plugins)(**fields)
            except BaseException as error:
                self.recorder.note(traceback.format_exc())
                session.exitstatus = getattr(error, "returncode", None) or session.exitstatus
        return self.recorder.done(session.exitstatus)

    def among_others(self, spec_file, tell):
        """Runs a file in the session."""
        session = self.session
        self.config.args = [spec_file]
        self.config.option.file_or_dir = [spec_file]
        session.testsfailed = session.testscollected = 0
        session.shouldfail = session.shouldstop = False

        def run():
            with self.directories:
                session.perform_collect([spec_file])
            if session.testsfailed and not self.config.option.continue_on_collection_errors:
                return 2
            for place, item in enumerate(session.items):
                # The session itself as the last next item keeps its fixtures for the next file.
                last = place + 1 == len(session.items)
                following = session if last else session.items[place + 1]
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if session.shouldfail or session.shouldstop:
                    return 1
            self.recorder.compare(session)
            return 0 if session.items else 5

        exitstatus = self.record(run, tell, keep=session)
        if exitstatus in (2, 3) or self.capture_is_broken():
            self.renew_capture()
        return self.recorder.done(exitstatus)

    def record(self, run, tell, keep=None, starts=False):
        """Has `run` make and record a file's tests; with which status pytest would end.

        Fixtures are torn down, but those of `keep`.
        """
        config, session, recorder = self.config, self.session, self.recorder
        recorder.begin(tell, starts)
        self.restart_clock()
        exitstatus = 0
        try:
            exitstatus = run()
        except pytest.UsageError as error:
            exitstatus = 4
            recorder.note(error)
        except session.Failed:
            exitstatus = 1  # by -x: the failure itself was reported
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
            recorder.note(traceback.format_exc())
        try:
            # Plugins may ask for the working directory, which a test may have removed.
            chdir(self.folder)
            self.summarize(exitstatus)
        except Exception:
            recorder.note(traceback.format_exc())
        return exitstatus

    def restart_clock(self):
        """What pytest prints as its time is that of one file."""
        reporter = self.config.pluginmanager.getplugin("terminalreporter")
        if hasattr(reporter, "_session_start"):
            reporter._session_start = type(reporter._session_start)()
        elif reporter is not None:
            reporter._sessionstarttime = time.time()

    def summarize(self, exitstatus):
        """Prints the final output of pytest, file by file."""
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
        reporter.pytest_unconfigure()  # the reason of the interruption
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
            # Plugins judge the whole run after its last test, for example by its coverage.
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
