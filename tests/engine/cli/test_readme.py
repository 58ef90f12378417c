"""What the README shows is what runs."""

import json
import re
import subprocess
import sys
from pathlib import Path

from engine.service.access import Access
from engine.service.app import COMMANDS, application
from tests.engine.cli.shell import ROOT, answer, environment, tanist
from tests.engine.real import Fleet, fleet

__all__ = ["fleet"]

README = (ROOT / "README.md").read_text()


def block(language: str) -> str:
    """Return the one block of code in `language`."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return str(found)


def test_the_embedded_file_runs_beside_the_configuration_that_init_writes(
    fleet: Fleet, tmp_path: Path
) -> None:
    tanist("init", "--preset", "lan", "--http", *fleet.addresses.values(), cwd=tmp_path)
    configuration = tmp_path / "tanist.toml"
    text = configuration.read_text()
    configuration.write_text(text.replace('automation = "observe"', 'automation = "auto"'))
    (tmp_path / "mine.py").write_text(block("python"))
    done = subprocess.run(
        [sys.executable, "mine.py"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    health, route, seq = done.stdout.splitlines()
    assert b"status" in eval(health)
    assert re.fullmatch(r"m[123] 1", route)
    assert int(seq) > 0


def test_the_observation_it_shows_can_be_imported(tmp_path: Path) -> None:
    line = block("json")
    assert json.loads(line)["master"] == "a"
    (tmp_path / "o.jsonl").write_text(line)
    found = answer("import", "o.jsonl", "--into", "x.db", "--group", "g", cwd=tmp_path)
    assert found["observations"] == 1


def test_every_path_and_command_it_names_is_served() -> None:
    app = application(None, access=Access(""), host="")  # type: ignore[arg-type]
    served = {str(getattr(route, "path", "")) for route in app.routes}
    named = set(re.findall(r"(?:GET|POST) (/[a-z/]+)", README))
    assert named
    for path in named:
        assert any(route.startswith(path) for route in served), path
    row = next(line for line in README.splitlines() if "/api/commands/NAME" in line)
    assert all(name in row for name in COMMANDS)
