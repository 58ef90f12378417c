"""What is asked of a log can be asked of the engine that runs it: the answers are the same."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from engine.answers.times import iso
from engine.core import events as ev
from engine.core.policy import ALERTS
from engine.embed import Engine
from tests.engine.answers.stories import BEGIN_US, GROUP, STEP_US, failed_over
from tests.engine.cli.shell import Done, complaint, environment, stored, tanist
from tests.engine.real import run
from tests.engine.service.api import Api, api_on

Asking = Callable[..., Coroutine[Any, Any, Done]]

FILE = """
[groups.g]
mode = "active-standby"
[[groups.g.masters]]
id = "a"
address = "http://127.0.0.1:1"
"""
BEGUN, THEN = (iso(BEGIN_US + steps * STEP_US) for steps in (1, 20))
# Of a moment that is over, so that no event that comes meanwhile makes a difference.
QUESTIONS = (
    ("why-not", "a", "--at", "then"),
    ("why-not", "b", "--at", "40"),
    ("diff", "5", "40"),
    ("messages", "--at", "then"),
    ("messages", "--group", "g", "--key", "k", "--at", "then"),
    ("weights", "--at", "then"),
    ("config", "--at", "then"),
    ("config", "--at", "then", "--file", "other.toml"),
    ("status", "--at", "then"),
    ("status", "--brief", "--at", "then"),
    ("why", "40"),
    ("why", "30"),
    ("alerts", "--at", "then"),
    ("events", "--since", "5", "--until", "then", "--all"),
    ("events", "--since", BEGUN, "--until", THEN),
    ("events", "--since", "10m", "--kind", "EngineStarted"),
    ("uptime", "--to", THEN),
    ("uptime", "--by", "group", "--from", BEGUN, "--to", THEN, "--unknown", "down"),
    ("incidents", "--at", "then"),
    ("incidents", "--at", "then", "--subject", "g", "--subject", "b"),
)
# Of now: the engine goes on, so that only the kind of answer can be compared.
OF_NOW = (
    ("why",),
    ("why", "c"),
    ("alerts", "--all"),
    ("weights",),
    ("status", "--brief"),
    ("audit",),
    ("uptime",),
)


def asked(tmp_path: Path, ask: Callable[[Api, Asking], Coroutine[Any, Any, None]]) -> None:
    """Run `ask` beside an engine that has a log in which a failover was."""
    story = failed_over(alerts=ALERTS)
    story.see(ev.MessageAccepted(key="k", lane="l", size=1, digest=b"d"), GROUP)
    story.see(ev.CheckpointMarked(name="then", author="ann"))
    path = stored(story.log, tmp_path / "t.db")
    (tmp_path / "other.toml").write_text(FILE)

    async def main() -> None:
        async with Engine(log=str(path)) as engine, api_on(engine, tmp_path) as api:

            async def tell(*words: str, token: str = api.token) -> Done:
                env = environment(TANIST_TOKEN=token)
                return await asyncio.to_thread(tanist, *words, cwd=tmp_path, env=env)

            await ask(api, tell)

    run(main())


def test_an_engine_answers_as_its_log_does(tmp_path: Path) -> None:
    async def ask(api: Api, tell: Asking) -> None:
        for words in QUESTIONS:
            for more in ((), ("--json",)):
                of_log = await tell(*words, "--log", "t.db", *more)
                of_engine = await tell(*words, "--log", api.url, *more)
                assert of_log.returncode == 0, (words, of_log.stderr)
                assert of_log.stdout, words
                assert (of_engine.returncode, of_engine.stdout) == (0, of_log.stdout), words

    asked(tmp_path, ask)


def test_an_engine_far_away_says_what_would_happen(tmp_path: Path) -> None:
    async def ask(api: Api, tell: Asking) -> None:
        for words in OF_NOW:
            of_log = json.loads((await tell(*words, "--log", "t.db", "--json")).stdout)
            of_engine = json.loads((await tell(*words, "--log", api.url, "--json")).stdout)
            assert of_engine.keys() >= {"seq", "alerts", "rows"} & of_log.keys(), words
        done = await tell("status", api.url)
        assert done.returncode == 0, done.stderr
        assert "takes over" in done.stdout or "waits" in done.stdout, done.stdout
        brief = await tell("status", "--brief", api.url)
        assert "What you can type" in brief.stdout

    asked(tmp_path, ask)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("why-not", "z"), "no master 'z'"),
        (("diff", "1", "999999"), "the log ends at"),
        (("messages", "--group", "z"), "no group 'z'"),
        (("weights", "--at", "nowhere"), "no checkpoint 'nowhere'"),
        (("why", "999999"), "999999"),
        (("incidents", "--at", "nowhere"), "no checkpoint 'nowhere'"),
        (("events", "--since", "10x"), "--since: "),
        (("events", "--until", "nowhere"), "no checkpoint 'nowhere'"),
        (("rollback", "nowhere"), "no checkpoint 'nowhere'"),
        (("uptime", "--from", THEN, "--to", BEGUN), "before"),
    ],
)
def test_what_an_engine_cannot_answer_is_one_line(
    words: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    async def ask(api: Api, tell: Asking) -> None:
        said = complaint(await tell(*words, "--log", api.url), 2)
        assert says in said
        assert api.url in said

    asked(tmp_path, ask)


def test_a_question_that_lacks_something_or_is_none_is_refused(tmp_path: Path) -> None:
    async def ask(api: Api, _: Asking) -> None:
        for path in ("/api/why-not", "/api/diff"):
            code, said = await api.get(path)
            assert (code, "expected a value, found none" in str(said)) == (400, True)
        for path, found in (
            ("/api/uptime?by=moon", "by: expected one of master, group, fleet, found 'moon'"),
            ("/api/uptime?from=soon", "from: expected a time"),
            ("/api/uptime?unknwon=down", "unknwon: expected a parameter of by, from, to, unknown"),
            ("/api/incidents?until=3", "until: expected a parameter of at, subject"),
            ("/api/audit?at=3", "at: expected a parameter of none"),
        ):
            code, said = await api.get(path)
            assert (code, found in str(said)) == (400, True), said
        for raw in (b"[", b"[]", b'{"text": 1}', b"[" * 100_000):
            code, _ = await api.post("/api/config", None, raw)
            assert code == 400
        code, said = await api.post("/api/config", {"text": "[groups", "source": "x.toml"})
        assert (code, "x.toml" in str(said)) == (400, True)

    asked(tmp_path, ask)
