"""Programs that carry an effect out: real ones, well and badly behaved."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from engine.core.events import Result
from engine.core.fleet import Health, Role
from engine.core.policy import MS, SECOND
from engine.runtime.carriers.asked import DETAIL_MAX, Asked, Carried, Member
from engine.runtime.carriers.command import OUTPUT_BYTES_MAX, CommandCarrier
from tests.engine.redis import until

LONG_US = 30 * SECOND
A = Member(id="a", address="http://a:1", health=Health.FAILED, role=Role.FENCED)
B = Member(id="b", address="http://b:1", health=Health.HEALTHY, role=Role.STANDBY)


def asked(step: str = "promote", *, timeout_us: int = LONG_US) -> Asked:
    return Asked(
        step=step, group="g", mode="active-standby", master="b", address=B.address, failover=7,
        epoch=3, timeout_us=timeout_us, active=A, members=(A, B), state={"k": b"v"}, digest="d",
    )  # fmt: skip


def carried(argv: list[str], *, timeout_us: int = LONG_US) -> Carried:
    return asyncio.run(CommandCarrier(argv).carry(asked(timeout_us=timeout_us)))


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def shell(code: str) -> list[str]:
    return ["/bin/sh", "-c", code]


@pytest.mark.parametrize(
    ("code", "result", "detail"),
    [
        ("exit 0", Result.OK, ""),
        ("echo done; exit 0", Result.OK, "done"),
        ("echo no such volume >&2; exit 1", Result.REFUSED, "no such volume"),
        ("exit 2", Result.UNKNOWN, "exit 2"),
        ("echo half; exit 64", Result.UNKNOWN, "exit 64: half"),
        ("kill -TERM $$", Result.UNKNOWN, "ended by SIGTERM"),
        ("printf '\\000\\377 \\t x'", Result.OK, "\ufffd x"),
    ],
)
def test_how_a_program_ends_is_the_outcome(code: str, result: Result, detail: str) -> None:
    found = carried(shell(code))
    assert (found.result, found.detail) == (result, detail)
    assert found.digest == ("d" if result is Result.OK else "")


def test_the_effect_is_in_the_environment_and_on_the_input() -> None:
    found = carried(
        shell(
            'test "$TANIST_STEP $TANIST_GROUP $TANIST_MASTER" = "promote g b" || exit 2\n'
            'test "$TANIST_EPOCH $TANIST_FAILOVER $TANIST_DIGEST" = "3 7 d" || exit 3\n'
            'test "$TANIST_ADDRESS $TANIST_ACTIVE_ADDRESS" = "http://b:1 http://a:1" || exit 4\n'
            'test "$TANIST_ACTIVE $TANIST_TIMEOUT_MS" = "a 30000" || exit 5\n'
            'test "$TANIST_MEMBERS" = "a=http://a:1 b=http://b:1" || exit 6\n'
            'test -n "$PATH" || exit 7\n'
            "grep -q '\"epoch\":3' || exit 8"
        )
    )
    assert found == Carried(result=Result.OK, digest="d")


@pytest.mark.parametrize("argv", [["/no/such/program"], ["/etc/passwd"], ["/bin/true", "a\0b"]])
def test_a_program_that_cannot_be_started_has_done_nothing(argv: list[str]) -> None:
    found = carried(argv)
    assert found.result is Result.FAILED
    assert found.detail.startswith(argv[0])


def test_a_program_that_hangs_is_killed_at_its_limit_with_all_that_it_started(
    tmp_path: Path,
) -> None:
    pids = tmp_path / "pids"
    code = f"trap '' TERM; echo $$ > {pids}; sleep 1000 & echo $! >> {pids}; echo begun; wait"
    found = carried(shell(code), timeout_us=2 * SECOND)
    assert (found.result, found.detail) == (Result.UNKNOWN, "killed after 2000 ms: begun")
    for pid in map(int, pids.read_text().split()):
        until(lambda pid=pid: not alive(pid))  # a system that is busy takes its time


def test_a_program_that_is_given_up_is_killed(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    os.mkfifo(pid)

    async def main() -> int:
        carrying = asyncio.create_task(
            CommandCarrier(shell(f"echo $$ > {pid}; exec sleep 1000")).carry(asked())
        )
        said = await asyncio.to_thread(pid.read_text)
        assert alive(int(said))
        carrying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await carrying
        return int(said)

    pid_of_it = asyncio.run(main())
    until(lambda: not alive(pid_of_it))


def test_of_a_megabyte_the_end_is_kept_on_one_line() -> None:
    found = carried(python("print('x' * 1_000_000); print('y' * 50); print('the end')"))
    assert found.result is Result.OK
    assert len(found.detail) == DETAIL_MAX
    assert found.detail.endswith("y the end")


def test_one_that_prints_without_end_is_ended_by_its_output() -> None:
    found = carried(python("import sys\nwhile True: sys.stdout.write('x' * 65536)"))
    assert found.result is Result.UNKNOWN
    assert f"more than {OUTPUT_BYTES_MAX} bytes" in found.detail
    assert len(found.detail) <= DETAIL_MAX


def test_a_server_that_it_leaves_behind_is_not_waited_for_and_lives(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    before = time.monotonic()
    # It holds the output open, as a server does that nobody has detached.
    found = carried(shell(f"sleep 1000 & echo $! > {pid}; echo started"))
    left = int(pid.read_text())
    try:
        assert (found.result, found.detail) == (Result.OK, "started")
        assert alive(left)
        assert time.monotonic() - before < LONG_US / SECOND
    finally:
        os.kill(left, signal.SIGKILL)


def test_it_needs_not_read_its_input() -> None:
    big = Asked(
        step="transfer", group="g", mode="active-standby", master="b", address=B.address,
        failover=7, epoch=3, timeout_us=LONG_US, state={"k": b"v" * 1_000_000},
    )  # fmt: skip
    assert asyncio.run(CommandCarrier(["/bin/true"]).carry(big)).result is Result.OK
    code = "import json, sys; sys.exit(len(json.load(sys.stdin)['state']['k']) < 1_000_000)"
    assert asyncio.run(CommandCarrier(python(code)).carry(big)).result is Result.OK


def test_nothing_is_left_open() -> None:
    async def main() -> None:
        carrier = CommandCarrier(shell("echo x"))
        await carrier.carry(asked(timeout_us=LONG_US))
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            await carrier.carry(asked())
        await CommandCarrier(["/no/such/program"]).carry(asked())
        await CommandCarrier(shell("sleep 1000")).carry(asked(timeout_us=50 * MS))
        assert len(os.listdir("/proc/self/fd")) == before

    asyncio.run(main())


def alive(pid: int) -> bool:
    """Return whether a process runs; one that ended and was not waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
