import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from engine.cli.commands import PANELS, Command, overview
from engine.cli.main import run
from tests.engine.cli.shell import complaint, environment, process, tanist

COMMANDS = [command for panel in PANELS.values() for command in panel]
HEAVY = ("asyncio", "cyclopts", "rich", "sqlalchemy", "transitions")


def test_help_has_six_panels_in_order_and_every_command_in_one(tmp_path: Path) -> None:
    done = process("--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    places = [lines.index(panel) for panel in ("Start", "Look", "Act", "Account", "Replay", "Keep")]
    assert places == sorted(places)
    for command in COMMANDS:
        assert sum(line.startswith(f"  {command.name} ") for line in lines) == 1
    assert tanist(cwd=tmp_path).stdout == done.stdout == overview()
    assert max(len(line) for line in lines) <= 100


def test_help_loads_nothing_that_takes_time(tmp_path: Path) -> None:
    code = f"""
import sys
from engine.cli.main import run
assert run(["--help"]) == 0
loaded = set(sys.modules) & set({HEAVY!r})
assert not loaded, loaded
"""
    subprocess.run(
        [sys.executable, "-c", code], check=True, env=environment(), cwd=tmp_path, timeout=60
    )


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_command_says_the_same_in_the_overview_and_in_its_own_help(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    module, _, name = command.place.partition(":")
    function = getattr(importlib.import_module(module), name)
    text = inspect.getdoc(function) or ""
    assert text.splitlines()[0] == command.summary
    assert text.count(f"Example: tanist {command.name}") == 1
    assert run([command.name, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert command.summary in shown
    if "json" in inspect.signature(function).parameters:
        assert "--json" in shown


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("frobnicate",), "frobnicate"),
        (("statsu", "x.db"), "did you mean status?"),
        (("status", "--jsn"), "--jsn: there is no such option; did you mean --json? see:"),
        (("status", "-x"), "-x: there is no such option; see:"),
        (("--foo",), "--foo: there is no such option; see: tanist --help"),
        (
            ("uptime", "--by", "moon"),
            "--by: expected one of master, group, fleet, found 'moon'; see: tanist uptime --help",
        ),
        (("master", "darin", "a"), "found 'darin'; did you mean drain or undrain? see:"),
        (("master",), "ACTION: expected one of add, drain, "),
        (("import", "x.jsonl"), "--into: expected a value, found none; see: tanist import --help"),
        (("pause", "web"), "--reason: expected a value, found none; see:"),
        (("status", "a.db", "b.db"), "expected no further word, found 'b.db'; see:"),
        (("why", "a", "b", "c"), "expected no further word, found 'c'; see:"),
        (("run", "--listen"), "--listen: expected a value, found none; see:"),
        (("demo", "--seconds", "soon"), "--seconds: expected a number, found 'soon'; see:"),
        (("incident", "x", "--out", "y"), "ID: expected a whole number, found 'x'; see:"),
        (("incident",), "ID: expected a whole number, found none; see:"),
        (("whatif", "--skip", "x"), "--skip: expected a whole number, found 'x'; see:"),
        (("status", "--json=x"), "--json: expected no value: it is there or not, found 'x'; see:"),
        (("run", "--listen", "a:1", "--listen", "b:2"), "--listen: expected once, found again"),
    ],
)
def test_wrong_usage_is_one_line_that_says_where_to_read_on(
    words: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    said = complaint(tanist(*words, cwd=tmp_path), 2)
    assert says in said
    assert "see: tanist " in said
    assert list(tmp_path.iterdir()) == []


READING = ("report", "replay", "verify", "run")
ASKING = (
    "why",
    "why-not",
    "diff",
    "messages",
    "weights",
    "config",
    "status",
    "events",
    "uptime",
    "incidents",
    "audit",
    "alerts",
    "pause",
    "failover",
    "rollback",
)


@pytest.mark.parametrize(("commands", "may_be_asked"), [(READING, False), (ASKING, True)])
def test_help_offers_an_address_only_where_an_engine_can_be_asked(
    commands: tuple[str, ...], may_be_asked: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in commands:
        assert run([command, "--help"]) == 0
        assert ("http://" in capsys.readouterr().out.partition("--log")[2]) is may_be_asked, command


def test_help_for_import_names_the_fields_and_the_outcomes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["import", "--help"]) == 0
    shown = capsys.readouterr().out
    for word in ("at", "master", "outcome", "latency_ms", "failure", "observer", "detail"):
        assert word in shown
    for outcome in ("ok", "degraded", "failed", "up", "down"):
        assert outcome in shown


def test_version_is_printed(tmp_path: Path) -> None:
    done = tanist("--version", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.strip()
