"""Who may do what: each role on both sides of what it may, and whose name the log has."""

import secrets
from pathlib import Path

import pytest

from engine.config.access import ROLES, Grant
from engine.config.secrets import Secret
from engine.core import events as ev
from engine.core.errors import ConfigurationError
from engine.embed import Engine
from engine.log.memory import MemoryLog
from engine.service.access import Caller, Role, callers
from engine.service.commanding import COMMANDS
from tests.engine.real import GROUP, nobody, only, run
from tests.engine.service.api import Api, api_on

LADDER = tuple(
    Caller(name=f"{word}er", role=Role(rank), token=f"the-token-of-{word}".encode())
    for rank, word in enumerate(ROLES, start=1)
)
PAUSE = {"group": GROUP, "reason": "work", "author": "somebody else"}


def bearer(word: str) -> dict[str, str]:
    return {"Authorization": f"Bearer the-token-of-{word}"}


async def codes(api: Api, word: str) -> dict[str, int]:
    """Return the code of each thing that somebody tries."""
    headers = bearer(word)
    tried = {
        "look": await api.get("/api/status", **headers),
        "compare": await api.post("/api/config", {}, **headers),
        "report": await api.post("/api/load", {"master": "a", "load": {"cpu": 0.5}}, **headers),
        "operate": await api.post("/api/commands/pause", PAUSE, **headers),
        "admin": await api.post("/api/commands/purge", {}, **headers),
    }
    return {what: code for what, (code, _) in tried.items()}


def test_each_role_may_what_those_before_it_may(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            Engine(nobody(), log=MemoryLog()) as engine,
            api_on(engine, tmp_path, named=LADDER) as api,
        ):
            # 400: it is let through, and something is missing in it.
            none = {"look": 401, "compare": 401, "report": 401, "operate": 401, "admin": 401}
            looks = {"look": 200, "compare": 200, "report": 403, "operate": 403, "admin": 403}
            assert await codes(api, "nobody") == none
            assert await codes(api, "read") == looks
            assert await codes(api, "report") == {**looks, "report": 200}
            assert await codes(api, "operate") == {**looks, "report": 200, "operate": 200}
            all_ = {**looks, "report": 200, "operate": 200, "admin": 400}
            assert await codes(api, "admin") == all_
            assert await api.get("/livez") == (200, {"alive": True})
            for path in ("/api/uptime", "/api/incidents", "/api/audit"):
                assert (await api.get(path))[0] == 401
                assert (await api.get(path, **bearer("read")))[0] == 200

    run(main())


def test_who_may_not_change_the_policy_may_not_take_it_back_either(tmp_path: Path) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with (
            Engine(nobody(), log=log) as engine,
            api_on(engine, tmp_path, named=LADDER) as api,
        ):
            back = {"position": 3, "author": "ann", "wait": False}
            all_ = {**back, "all": True}
            said = await api.post("/api/commands/rollback", all_, **bearer("operate"))
            assert said == (
                403,
                {
                    "error": "operateer may operate: rollback with the policy of then needs the "
                    "role admin"
                },
            )
            assert only(log, ev.FleetRollbackRequested) == []
            # Where the policy stays as it is, it is a command as any other, whatever comes of it.
            named = {**all_, "groups": [GROUP]}
            own = {**back, "group": GROUP}
            for body in (named, own):
                code, _ = await api.post("/api/commands/rollback", body, **bearer("operate"))
                assert code not in (401, 403)
            code, _ = await api.post("/api/commands/rollback", all_, **bearer("admin"))
            assert code not in (401, 403)
            code, _ = await api.post("/api/commands/rollback", all_)
            assert code not in (401, 403)

    run(main())


def test_what_is_refused_says_who_may_what(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            Engine(nobody(), log=MemoryLog()) as engine,
            api_on(engine, tmp_path, named=LADDER) as api,
        ):
            said = await api.post("/api/commands/purge", {}, **bearer("operate"))
            assert said == (
                403,
                {"error": "operateer may operate: /api/commands/purge needs the role admin"},
            )
            code, text = await api.get("/api/status")
            assert code == 401
            assert "expected the token of a name in [auth]" in str(text)

    run(main())


def test_the_log_has_the_name_of_the_token_that_acted(tmp_path: Path) -> None:
    async def main() -> None:
        log = MemoryLog()
        async with (
            Engine(nobody(), log=log) as engine,
            api_on(engine, tmp_path, named=LADDER) as api,
        ):
            await api.post("/api/commands/pause", PAUSE, **bearer("operate"))
            without = {"group": GROUP, "reason": "more"}
            assert (await api.post("/api/commands/pause", without, **bearer("admin")))[0] == 200
            await api.post("/api/commands/pause", PAUSE)  # with the token beside the log
        authors = [event.author for event in only(log, ev.Paused)]
        assert authors == ["operateer", "adminer", "somebody else"]

    run(main())


def test_without_names_looking_is_free_on_loopback_as_before(tmp_path: Path) -> None:
    async def main() -> None:
        async with Engine(nobody(), log=MemoryLog()) as engine, api_on(engine, tmp_path) as api:
            assert (await api.get("/api/status"))[0] == 200
            code, said = await api.post("/api/commands/pause", PAUSE, Authorization="Bearer x")
            assert (code, said) == (401, {"error": "expected the token that lies beside the log"})

    run(main())


def test_every_token_is_compared_whoever_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[bytes] = []
    compare = secrets.compare_digest

    def counted(given: bytes, own: bytes) -> bool:
        compared.append(own)
        return compare(given, own)

    async def main() -> None:
        async with (
            Engine(nobody(), log=MemoryLog()) as engine,
            api_on(engine, tmp_path, named=LADDER) as api,
        ):
            monkeypatch.setattr("engine.service.access.secrets.compare_digest", counted)
            for word in ("read", "admin", "nobody"):
                compared.clear()
                await api.get("/api/status", **bearer(word))
                assert compared[1:] == [caller.token for caller in LADDER]

    run(main())


def test_commands_of_an_admin_are_commands() -> None:
    from engine.service.access import ADMIN

    assert set(COMMANDS) > ADMIN


def granted(role: str, token: Secret, name: str = "ann") -> Grant:
    return Grant(name=name, role=role, token=token)


def test_tokens_are_read_from_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANN", "of-ann-0123456789")
    (tmp_path / "bob").write_text("of-bob-0123456789\n")
    found = callers(
        (granted("operate", Secret(env="ANN")), granted("read", Secret(file="bob"), "bob")),
        source=str(tmp_path / "t.toml"),
    )
    assert [(one.name, one.role, one.token) for one in found] == [
        ("ann", Role.OPERATE, b"of-ann-0123456789"),
        ("bob", Role.READ, b"of-bob-0123456789"),
    ]
    assert found[0].role.word == "operate"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected a password in $ANN, found nothing"),
        ("short", "expected 16 printable characters or more"),
        ("with a space 0123456789", "without spaces in $ANN, found another text"),
    ],
)
def test_a_token_that_would_not_do_is_named_and_not_shown(
    text: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANN", text)
    with pytest.raises(ConfigurationError) as caught:
        callers((granted("read", Secret(env="ANN")),), source="t.toml")
    (mistake,) = caught.value.mistakes
    assert mistake.startswith("t.toml: auth.ann.token: ")
    assert says in mistake
    assert not text or text not in mistake


def test_two_names_have_two_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANN", "of-ann-0123456789")
    both = (granted("read", Secret(env="ANN")), granted("admin", Secret(env="ANN"), "bob"))
    with pytest.raises(ConfigurationError, match=r"auth\.bob\.token: .* found that of ann"):
        callers(both, source="t.toml")
