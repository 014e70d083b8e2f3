"""The folders of a session in which one file after the other is collected."""

from pytest import hookimpl


class Directories:
    """A plugin that gives each file of a session the same nodes for its folders.

    pytest 9.1 and later know a conftest file's fixtures by the node of its folder, and read them once.
    """

    def __init__(self, session):
        self.known = {}
        # conftest files whose folder has not been collected yet. pytest forgets them after the first
        # collection, which is its last.
        self.pending = getattr(session._fixturemanager, "_pending_conftests", {})
        self.kept = {}

    @hookimpl(hookwrapper=True, optionalhook=True)
    def pytest_collect_directory(self, path, parent):
        outcome = yield
        node = outcome.get_result()
        if node is not None:
            outcome.force_result(self.known.setdefault((path, parent), node))

    @hookimpl(tryfirst=True)
    def pytest_collection_finish(self):
        self.kept = dict(self.pending)

    def __enter__(self):
        self.kept = {}

    def __exit__(self, *_):
        self.pending.update(self.kept)
