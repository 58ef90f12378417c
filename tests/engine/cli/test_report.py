"""A report: true without the program, and nothing in it that somebody else has written acts."""

from pathlib import Path

import pytest

from engine.cli.reporting import as_html
from engine.core import events as ev
from tests.engine.answers.stories import Story, failed_over
from tests.engine.cli.shell import answer, complaint, stored, tanist


@pytest.fixture
def story() -> Story:
    told = failed_over()
    told.dead.discard("a")
    told.probe(5)
    return told


@pytest.fixture
def log(story: Story, tmp_path: Path) -> Path:
    return stored(story.log, tmp_path / "x.db")


def test_an_incident_is_told_from_its_first_sign(story: Story, log: Path) -> None:
    number = story.last(ev.FailoverStarted)
    done = tanist("report", "x.db", "--incident", str(number), cwd=log.parent)
    assert done.returncode == 0
    text = done.stdout
    assert text.startswith(f"# Incident {number}: g, failed\n")
    for heading in ("What happened", "Where the time went", "Why", "The policy of g then"):
        assert f"\n## {heading}\n" in text
    assert "a has failed: closed-then-refused" in text
    assert f"{story.last(ev.MasterFailed)} at " in text
    assert "Not chosen (the heir is b):" in text
    head = answer("verify", "x.db", cwd=log.parent)["head"]
    assert f":{head} --log x.db" in text


def test_a_log_is_told_with_everything_that_went_wrong(log: Path) -> None:
    text = tanist("report", "x.db", cwd=log.parent).stdout
    for heading in ("Incidents", "Availability", "Each master", "How to check this"):
        assert f"\n## {heading}\n" in text
    assert (
        text.count("closed 1, refused 3") == 2
    )  # of the incident, and in the record of its master


def test_it_goes_into_files_as_a_page_and_as_text(story: Story, log: Path) -> None:
    words = ("report", "x.db", "--markdown", "r.md", "--html", "r.html")
    assert tanist(*words, cwd=log.parent).returncode == 0
    page = (log.parent / "r.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "<td>closed 1, refused 3</td>" in page
    assert "http" not in page.split("<body>")[0]  # it needs nothing else
    assert "exists already" in complaint(tanist(*words, cwd=log.parent), 2)
    assert tanist(*words, "--force", cwd=log.parent).returncode == 0
    same = ("report", "x.db", "--markdown", "s", "--html", "s")
    assert "found the same one twice" in complaint(tanist(*same, cwd=log.parent), 2)


def test_what_others_wrote_is_text_and_nothing_else() -> None:
    page = as_html("# a <script>alert(1)</script> & b\n\n<img src=x onerror=y> [l](javascript:z)\n")
    assert "<script>" not in page
    assert "<img" not in page
    assert "javascript:" not in page.replace("[l](javascript:z)", "")


def test_an_incident_that_there_is_not_is_one_line(log: Path) -> None:
    said = complaint(tanist("report", "x.db", "--incident", "999", cwd=log.parent), 2)
    assert "no incident 999 in the log" in said
