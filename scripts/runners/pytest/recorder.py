"""The plugin that passes pytest's reports of the tests on to the runner."""

from pytest import File, hookimpl

from .wire import MESSAGE, getpid, text

# Maximum bytes of the list of failures that one test has.
LIST = 2400
# Bytes that the note of a cut takes.
NOTE = 30


class Recorder:
    """A plugin that reports each test as one example, whose last attempt decides.

    One for all files: to register a plugin costs a fork more than the test of a small file.
    """

    def begin(self, tell, starts):
        """Starts a file: calls `tell` with each event, including the starts of tests if `starts`."""
        self.tell = tell
        self.tells_starts = starts
        self.pid = getpid()
        self.item = None
        self.outside = []
        self.deselected = 0
        # Tests that were reported, and all reports of failures, for the comparison with pytest's sums.
        self.finished = 0
        self.failures = 0

    def say(self, **event):
        # A test that forks and goes on must not speak for its parent.
        if getpid() == self.pid:
            self.tell(event)

    def note(self, error):
        """Takes down an error outside of tests."""
        self.outside.append(text(error, MESSAGE, MESSAGE // 2))

    @hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item):
        """All attempts of a test are inside of this, whatever plugin makes them."""
        self.item = item
        self.known = None
        self.attempts = [[]]
        self.starts = 0
        self.superseded = []
        self.ended = False
        outcome = yield
        broken_off = outcome.excinfo is not None
        if self.ended or any(self.attempts) or not broken_off:
            self.say(example=self.example())
            self.finished += 1
        self.item = None

    def pytest_runtest_logstart(self):
        if self.item is None:
            return
        self.starts += 1
        if self.attempts[-1]:
            # Not every plugin reports that it begins again.
            self.superseded += [report for report in self.attempts[-1] if report.failed]
            self.attempts.append([])
        if self.tells_starts:
            self.say(started=self.about_item())

    @hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report):
        if report.failed and not hasattr(report, "wasxfail"):
            self.failures += 1
        if self.item is None:
            return
        if report.outcome in ("passed", "failed", "skipped"):
            self.attempts[-1].append(report)
        else:
            # pytest-rerunfailures: "rerun".
            self.superseded += [earlier for earlier in self.attempts[-1] if earlier.failed] or [report]
            self.attempts.append([])

    def pytest_runtest_logfinish(self):
        self.ended = True

    def about_item(self):
        if self.known is None:
            self.known = about(self.item)
        return self.known

    def example(self):
        """The test as one example."""
        reports = self.attempts[-1]
        example = dict(self.about_item())
        example["status"], message = verdict(reports)
        example["duration_ms"] = round(1000 * sum(r.duration for r in reports if not is_subtest(r)))
        if example["status"] == "passed" and (self.superseded or self.starts > 1):
            example["flaky"] = True
            # Not every plugin reports its reruns.
            why = words(self.superseded[0]) if self.superseded else "(not reported)"
            message = f"passed in the end; an earlier attempt failed:\n{why}"
        if message:
            example["message"] = text(message, MESSAGE, MESSAGE // 4)
        return example

    def pytest_collectreport(self, report):
        if report.failed:
            self.failures += 1
            self.note(f"{report.nodeid}: {report.longreprtext}")
        elif report.skipped:
            example = {
                "id": text(report.nodeid),
                "name": text(report.nodeid.split("::", 1)[-1].replace("::", " ")),
                "file": text(report.fspath),
                "line": None,
                "status": "pending",
                "message": text(reason(report), MESSAGE),
            }
            self.say(example=example)

    def pytest_deselected(self, items):
        self.deselected += len(items)

    def pytest_internalerror(self, excrepr):
        self.note(excrepr)

    def pytest_keyboard_interrupt(self, excinfo):
        self.note(f"the session was ended: {excinfo.value!r}")

    def compare(self, session):
        """Records a difference between the sums of pytest and the reports."""
        collected = len(session.items)
        if self.finished != collected:
            self.note(f"pytest collected {collected} tests, but {self.finished} were reported")
        if session.testsfailed > self.failures:
            self.note(f"pytest counts {session.testsfailed} failures, but {self.failures} were reported")

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


def about(item):
    """What a test is called, and where it is."""
    file, line, _ = item.location
    names = []
    for node in reversed(item.listchain()):
        if names and isinstance(node, File) or node.parent is None:
            break
        names.insert(0, node.name)
    return {
        "id": text(item.nodeid),
        "name": text(" ".join(names)),
        "file": text(file),
        "line": None if line is None else line + 1,
    }


def verdict(reports):
    """The status of a test by the reports of one attempt, and why it is not passed."""
    if not reports:
        return "error", "pytest reported nothing of it"
    failures = [report for report in reports if report.failed]
    if failures:
        # What goes wrong in the test itself is its failure; around it, an error.
        status = "failed" if any(report.when == "call" for report in failures) else "error"
        if len(failures) == 1:
            return status, words(failures[0])
        # Each by one line first: the details may not all fit.
        room = max(50, LIST // len(failures) - NOTE)
        titles = [f"  {title(report, room)}" for report in failures]
        listed = text("\n".join(titles), LIST)
        return status, "\n".join([f"{len(failures)} failures:", listed, *map(words, failures)])
    for report in reports:
        # A part that was skipped does not skip the test.
        if report.skipped and not is_subtest(report):
            return "pending", getattr(report, "wasxfail", None) or reason(report)
    return "passed", None


def is_subtest(report):
    """Whether it is about a part of a test: of pytest 9 itself, or of pytest-subtests."""
    return type(report).__name__.lower() == "subtestreport"


def title(report, room):
    """A failure in one line of about `room` bytes."""
    where = report.when
    if is_subtest(report):
        describe = getattr(report, "_sub_test_description", None) or report.sub_test_description
        where = f"subtest {describe()}"
    crash = getattr(report.longrepr, "reprcrash", None)
    lines = (crash.message if crash else report.longreprtext).strip().splitlines()
    return text(f"{where}: {lines[0] if lines else ''}", room)


def words(report):
    """All of a failure."""
    return report.longreprtext


def reason(report):
    """Why something was skipped."""
    longrepr = report.longrepr
    return longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
