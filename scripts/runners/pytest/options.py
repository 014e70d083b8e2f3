"""Options of pytest and its plugins that are about a whole run, of which this session is only a part."""

import os
import sys
from pathlib import Path

NO_CACHE = "the cache does not know what ran elsewhere; see --rerun-failed of rrr-submit"
NO_REPORT = "each slave would write it over those of the others; see --format of rrr-show"
NO_WORKERS = "the slaves are the workers; see --slaves of rrr-worker"

# Attribute of config.option, the option, and why it is switched off.
WHOLE_RUN = (
    ("numprocesses", "-n", NO_WORKERS),
    ("tx", "--tx", NO_WORKERS),
    ("looponfail", "--looponfail", NO_WORKERS),
    ("xmlpath", "--junitxml", NO_REPORT),
    ("htmlpath", "--html", NO_REPORT),
    ("report_log", "--report-log", NO_REPORT),
    ("json_report", "--json-report", NO_REPORT),
    ("lf", "--last-failed", NO_CACHE),
    ("failedfirst", "--failed-first", NO_CACHE),
    ("newfirst", "--new-first", NO_CACHE),
    ("stepwise", "--stepwise", NO_CACHE),
    ("stepwise_skip", "--stepwise-skip", NO_CACHE),
    ("cacheclear", "--cache-clear", "slaves share the cache"),
    ("session_timeout", "--session-timeout", "a runner lives for many files; see --hard-timeout of rrr-submit"),
    ("max_warnings", "--max-warnings", "each slave sees only some of the warnings"),
    ("usepdb", "--pdb", "there is no terminal"),
    ("trace", "--trace", "there is no terminal"),
)


def report(option, why):
    print(f"rrr-slave: pytest's {option} is switched off: {why}", file=sys.stderr)


def switch_off(config):
    """Switches off options that cannot work and reports each one once, before plugins are configured."""
    options = config.option
    for name, option, why in WHOLE_RUN:
        value = getattr(options, name, None)
        if value:
            setattr(options, name, [] if isinstance(value, list) else None if not isinstance(value, bool) else False)
            report(option, why)
    if getattr(options, "dist", "no") != "no":
        options.dist = "no"
    share_base(options)
    share_seed(options)


def share_base(options):
    """A folder of its own below --basetemp for each slave, as pytest-xdist does: pytest empties it."""
    base = getattr(options, "basetemp", None)
    if base:
        base = Path(base).absolute()
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        options.basetemp = str(base / f"popen-{os.environ['PYTEST_XDIST_WORKER']}")


def share_seed(options):
    """One random order and seed for all slaves and trials of a run, unless the suite names one."""
    seed = getattr(options, "randomly_seed", None)
    if seed == "default":
        options.randomly_seed = sum(os.environ.get("RRR_RUN_ID", "").encode()) * 2654435761 % 2**32
    if getattr(options, "randomly_seed", None) == "last":
        report("--randomly-seed=last", NO_CACHE)
        options.randomly_seed = 0


def end_coverage(config):
    """Stops pytest-cov where several processes would write, and judge, one file of data."""
    plugin = config.pluginmanager.getplugin("_cov")
    controller = getattr(plugin, "cov_controller", None)
    if controller is None:
        return
    controller.cov.stop()
    plugin._disabled = True
    plugin.cov_controller = None
    report("--cov", "its data is one file, so it needs --isolation none and one slave")
