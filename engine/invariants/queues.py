"""The messages of a group, followed: accepted, given to a master, given back, done."""

from engine.invariants.followed import Followed, FollowedGroup


def accepted(group: FollowedGroup, key: str, seq: int) -> str:
    """Take a message; return what is wrong with that, "" if nothing is."""
    is_known = key in group.open or key in group.done
    group.open[key] = group.queued[key] = seq
    return f"{key} is accepted twice" if is_known else ""


def assigned(master: Followed, upto: int) -> None:
    """Give a master what is queued up to a place."""
    group = master.group
    taken = [key for key, seq in group.queued.items() if seq <= upto]
    owned = group.owned.setdefault(master.name, {})
    for key in taken:
        del group.queued[key]
        owned[key] = None


def given_back(master: Followed) -> int:
    """Put back into the queue what a master had; return how many messages that is."""
    group = master.group
    back = group.owned.pop(master.name, {})
    for key in back:
        group.queued[key] = group.open[key]
    return len(back)


def done(group: FollowedGroup, key: str) -> str:
    """Take it that a message is done; return what is wrong with that, "" if nothing is."""
    if key not in group.open:
        return f"{key} is done {'twice' if key in group.done else 'and was never accepted'}"
    found = f"{key} is done while nobody had it" if group.queued.pop(key, 0) else ""
    for owned in group.owned.values():
        owned.pop(key, None)
    del group.open[key]
    group.done.add(key)
    return found
