"""How a group acts: kinds of effects, fences, hooks and healing, and what they refuse."""

import pytest

from engine.config.describing import describe
from engine.config.loading import Configuration, parse
from engine.core.errors import ConfigurationError
from engine.core.policy import MS, SECOND, FenceKind, Hooks, Reach, Recover, Secret

REDIS = 'mode = "active-standby"\nprobe = { kind = "redis" }\neffects = { kind = "redis" }'


def parsed(text: str, *, scheme: str = "http") -> Configuration:
    lines = text if "mode" in text else f'mode = "active-standby"\n{text}'
    whole = (
        f"[groups.g]\n{lines}\n"
        f'[[groups.g.masters]]\nid = "a"\naddress = "{scheme}://h:1"\n'
        f'[[groups.g.masters]]\nid = "b"\naddress = "{scheme}://h:2"\n'
    )
    return parse(whole, source="f")


def mistakes(text: str, *, scheme: str = "http") -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        parsed(text, scheme=scheme)
    return caught.value.mistakes


def test_effects_by_a_program_name_it() -> None:
    found = parsed('effects = { kind = "command", command = ["/bin/act", "now"] }').policy
    assert found.groups["g"].effects == "command"
    assert found.groups["g"].reach == Reach(command=("/bin/act", "now"))


def test_effects_on_redis_log_in_as_the_probe_does_or_as_told() -> None:
    assert parsed(REDIS, scheme="redis").policy.groups["g"].reach is None
    own = REDIS.replace(
        '{ kind = "redis" }', '{ kind = "redis", user = "t", password = { env = "P" } }'
    ).replace(
        'probe = { kind = "redis", user = "t", password = { env = "P" } }', 'probe.kind = "redis"'
    )
    assert parsed(own, scheme="redis").policy.groups["g"].reach == Reach(
        user="t", password=Secret(env="P")
    )


@pytest.mark.parametrize(
    ("text", "scheme", "expected"),
    [
        ('effects = { kind = "command" }', "http", "groups.g.effects.command: expected a program"),
        (
            'effects = { kind = "http", command = ["x"] }',
            "http",
            'groups.g.effects.command: expected no command where kind = "http"',
        ),
        (
            'effects = { kind = "command", command = ["x"], user = "u" }',
            "http",
            'groups.g.effects.user: expected no user where kind = "command"',
        ),
        ('effects = { kind = "redis" }', "http", 'expected probe.kind = "redis"'),
        (
            REDIS.replace("active-standby", "active-active"),
            "redis",
            'groups.g.effects.kind: expected mode = "active-standby"',
        ),
        (
            REDIS.replace('effects = { kind = "redis"', 'effects = { kind = "redis", user = "u"'),
            "redis",
            "groups.g.effects.user: expected the password of the user",
        ),
        ('effects = { kind = "ssh" }', "http", 'expected "http" or "command" or "redis"'),
        (
            'fence = { kind = "gate", clients = "direct" }',
            "http",
            'groups.g.fence.clients: expected clients = "route"',
        ),
        ('fence = { lease = "5s" }', "http", "groups.g.fence.lease: expected no lease where kind"),
        (
            f'{REDIS}\nfence = {{ kind = "lease", lease = "2s" }}',
            "redis",
            "groups.g.fence.lease: expected a lease of 3s at least",
        ),
        (
            f'preset = "lan"\n{REDIS}\nfence = {{ kind = "lease" }}',
            "redis",
            "groups.g.fence.kind: expected a lease of 3s at least",
        ),
        (
            'hooks = { before_lunch = ["x"] }',
            "http",
            "groups.g.hooks.before_lunch: expected one of",
        ),
        ('hooks = { before_fence = "x" }', "http", "groups.g.hooks.before_fence: expected a list"),
        ("recover = { attempts = 2 }", "http", "groups.g.recover.command: expected the program"),
        (
            'recover = { command = ["x"], attempts = 6 }',
            "http",
            "groups.g.recover.attempts: expected a whole number from 1 to 5",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(text: str, scheme: str, expected: str) -> None:
    (found,) = mistakes(text, scheme=scheme)
    assert expected in found
    assert found.startswith("f:")
    assert "\n" not in found


def test_a_lease_is_the_presets_unless_it_is_written() -> None:
    fence = parsed('fence = { kind = "lease", clients = "direct" }').policy.groups["g"].fence
    assert (fence.kind, fence.clients, fence.lease_us) == (FenceKind.LEASE, "direct", 5 * SECOND)
    fence = parsed('fence = { kind = "lease", lease = "700ms" }').policy.groups["g"].fence
    assert fence.lease_us == 700 * MS
    assert parsed('fence = { kind = "gate" }').policy.groups["g"].fence.lease_us == 0


def test_hooks_are_programs_with_a_time() -> None:
    found = parsed('hooks = { before_promote = ["a", "b"], after_switch = ["c"], timeout = "3s" }')
    policy = found.policy.groups["g"]
    assert policy.hooks == Hooks(
        before_promote=("a", "b"), after_switch=("c",), timeout_us=3 * SECOND
    )
    assert policy.hook("before-promote") == ("a", "b")
    assert policy.hook("before-fence") == ()
    # That of a step is no time of its own: it follows when that changes.
    same = parsed('hooks = { before_promote = ["a"], timeout = "1s" }').policy.groups["g"].hooks
    assert same == Hooks(before_promote=("a",))
    assert parsed('hooks = { timeout = "3s" }').policy.groups["g"].hooks is None


def test_healing_has_a_program_and_a_few_attempts() -> None:
    policy = parsed('recover = { command = ["x"], backoff = "2s" }').policy.groups["g"]
    assert policy.recover == Recover(
        command=("x",), attempts=5, backoff_us=2 * SECOND, timeout_us=30 * SECOND
    )


@pytest.mark.parametrize(
    ("text", "scheme", "said"),
    [
        ('fence = { kind = "lease" }', "http", "was silent for 5.5s"),
        (f'{REDIS}\nfence = {{ kind = "lease" }}', "redis", "has lost its replicas for 5.5s"),
        (
            f'{REDIS}\nfence = {{ kind = "gate" }}',
            "redis",
            "between waking up and reading its fence",
        ),
        ('fence = { kind = "gate" }', "http", "still does elsewhere by itself."),
        ('fence = { kind = "confirmed" }', "http", "confirmed: stops anyone else"),
    ],
)
def test_what_a_fence_stops_and_what_not_is_one_sentence(text: str, scheme: str, said: str) -> None:
    found = parsed(text, scheme=scheme)
    sentence = describe(found.policy, found.masters)["groups"]["g"]["fence"]
    assert said in sentence
    assert "does not stop" in sentence
    assert sentence.endswith(".")
    assert ". " not in sentence


def test_a_lease_is_part_of_the_worst_restoration() -> None:
    gate, lease = (
        describe(found.policy, found.masters)["groups"]["g"]
        for found in (parsed('fence = { kind = "gate" }'), parsed('fence = { kind = "lease" }'))
    )
    assert lease["restore_crash_us"] - gate["restore_crash_us"] == 5_500 * MS


@pytest.mark.parametrize(
    "key", ['hooks = { before_fence = ["x"] }', 'recover = { command = ["x"] }']
)
def test_what_is_never_run_is_warned_of(key: str) -> None:
    found = parsed(f'effects = {{ kind = "none" }}\n{key}')
    warnings = describe(found.policy, found.masters)["groups"]["g"]["warnings"]
    assert any("never run with effects none" in warning for warning in warnings)
