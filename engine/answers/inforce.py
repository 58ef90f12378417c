"""What is in force, where each setting came from, and what a file says otherwise."""

from typing import Any, Final

from engine.answers.search import Finder
from engine.answers.times import iso
from engine.config import Configuration
from engine.core import events as ev
from engine.core.policy import PRESETS, GroupPolicy, preset
from engine.core.state import GroupState, State
from engine.log.protocol import Log
from engine.whatif.keys import changes, fleet_settings, settings, spelled

_SAID: Final = ("mode", "preset")


def in_force(log: Log, state: State, file: Configuration | None) -> dict[str, Any]:
    """Return every setting in force with its origin; `file` is what the drift is taken from.

    The origin of a setting is *preset* (it is what the preset of its group gives), *file* (what was
    adopted says so), or *command* (somebody asked for it since; `seq` says where).
    """
    fleet = state.fleet
    adopted = Finder(log).at(fleet.policy_seq)
    return {
        "seq": state.seq,
        "at": iso(state.at_us),
        "adopted": {
            "seq": fleet.policy_seq,
            "at": None if adopted is None else iso(adopted.at_us),
            "digest": fleet.policy_digest,
        },
        "groups": {name: _group(log, state, group) for name, group in sorted(state.groups.items())},
        "fleet": fleet_settings(fleet.policy),
        "file": None if file is None else _file(state, file),
        "drift": [] if file is None else drift(state, file),
    }


def _group(log: Log, state: State, group: GroupState) -> dict[str, Any]:
    policy = state.policy_of(group)
    base = settings(preset(policy.preset, mode=policy.mode)) if policy.preset in PRESETS else {}
    found = {
        spelled(path): {
            "path": path,
            "value": value,
            "from": "file" if path in _SAID or base.get(path) != value else "preset",
        }
        for path, value in settings(policy).items()
    }
    if group.strategy != policy.strategy:
        kinds = (ev.StrategyChanged, ev.RollbackAccepted)
        asked = next(Finder(log).before(state.seq + 1, kinds, group.id), None)
        found["strategy"] = {
            "path": "strategy",
            "value": group.strategy,
            "from": "command",
            "seq": None if asked is None else asked.seq,
        }
    return found


def _file(state: State, file: Configuration) -> dict[str, Any]:
    return {
        "source": file.source,
        "digest": file.digest,
        "is_adopted": file.digest == state.fleet.policy_digest,
        "is_known": file.digest == state.fleet.file_digest,
    }


def drift(state: State, file: Configuration) -> list[dict[str, Any]]:
    """Return what is in force and not what the file says."""
    found = [
        {
            "subject": one.group or ev.FLEET,
            "key": one.key,
            "path": one.path,
            "in_force": one.before,
            "file": one.after,
        }
        for one in changes(state.fleet.policy, file.policy)
    ]
    found += [
        _differs(name, "group", name in ours, name in theirs)
        for ours, theirs in ((state.groups, file.policy.groups),)
        for name in sorted(ours.keys() ^ theirs.keys())
    ]
    for name, group in state.groups.items():
        policy: GroupPolicy | None = file.policy.groups.get(name)
        strategy = "" if policy is None else policy.strategy
        if policy is not None and group.strategy != strategy == state.policy_of(group).strategy:
            found.append(_differs(name, "strategy", group.strategy, strategy))
    return [*found, *_masters(state, file)]


def _masters(state: State, file: Configuration) -> list[dict[str, Any]]:
    ours = {
        name: master.declared
        for group in state.groups.values()
        for name, master in group.masters.items()
    }
    theirs = {master.id: master for master in file.masters}
    found: list[dict[str, Any]] = [
        _differs(name, "master", name in ours, name in theirs)
        for name in sorted(ours.keys() ^ theirs.keys())
    ]
    for name in sorted(ours.keys() & theirs.keys()):
        for field in ours[name].__struct_fields__:
            before, after = getattr(ours[name], field), getattr(theirs[name], field)
            if before != after:
                found.append(_differs(name, field, before, after))
    return found


def _differs(subject: str, key: str, in_force: object, file: object) -> dict[str, Any]:
    return {"subject": subject, "key": key, "path": key, "in_force": in_force, "file": file}
