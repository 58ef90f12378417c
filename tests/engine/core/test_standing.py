"""Which heir has the newest data: what it lacks of that of others who answer."""

from collections.abc import Iterable

from msgspec.structs import replace

from engine.core.events import LoadReported
from engine.core.fleet import Role
from engine.core.standing import Heard, Lack, Standing, is_kept, is_misled, lack

HEIR = Standing(
    is_primary=False,
    history="one",
    earlier="",
    earlier_end=-1,
    position=100,
    is_linked=False,
    is_loading=False,
    follows="a:1",
)
PROMOTED = replace(HEIR, history="two", earlier="one", earlier_end=100, is_primary=True)


def heard(
    standing: Standing,
    *,
    role: Role = Role.STANDBY,
    is_fenced: bool = False,
    knows: int = 1,
    name: str = "b",
) -> Heard:
    return Heard(
        name=name,
        place=f"{name}:1",
        role=role,
        standing=standing,
        is_fenced=is_fenced,
        knows=knows,
    )


def lacks(
    *others: Heard,
    heir: Standing = HEIR,
    epoch: int = 1,
    silent: Iterable[str] = (),
    served: int = 1,
) -> Lack | None:
    return lack(heir, epoch, others, silent=silent, served=served)


def test_who_has_as_much_of_a_stream_as_all_others_lacks_nothing() -> None:
    assert lacks(heard(HEIR), heard(replace(HEIR, position=99), name="c")) is None
    assert lacks() is None


def test_who_has_less_of_a_stream_than_another_lacks_the_rest() -> None:
    found = lacks(heard(replace(HEIR, position=130)), heard(replace(HEIR, position=150), name="c"))
    assert found == Lack(detail="b has 30 bytes more: 130, 100", bytes=50, is_moving=False)


def test_what_a_primary_still_sends_may_come() -> None:
    primary = heard(replace(HEIR, position=130, is_primary=True), role=Role.FENCED, is_fenced=True)
    found = lacks(primary, heir=replace(HEIR, is_linked=True))
    assert found is not None
    assert found.is_moving
    assert found.source == ""
    writable = heard(replace(HEIR, position=130, is_primary=True), role=Role.ACTIVE)
    stopped = lacks(writable)
    assert stopped is not None
    assert not stopped.is_moving


def test_an_heir_that_replicates_from_nobody_takes_the_rest_from_a_fenced_primary() -> None:
    ahead = replace(HEIR, position=114, is_primary=True)
    fenced = heard(ahead, role=Role.FENCED, is_fenced=True)
    assert lacks(fenced) == Lack(
        detail="b has 14 bytes more: 114, 100", bytes=14, is_moving=True, source="b:1"
    )
    for other, heir, epoch in (
        (heard(ahead, role=Role.ACTIVE), HEIR, 1),  # it takes writes, so it never ends
        (heard(replace(ahead, is_primary=False), is_fenced=True), HEIR, 1),
        (fenced, replace(HEIR, is_primary=True), 1),  # promoted meanwhile
        (fenced, HEIR, 2),  # it has lost its data
        (heard(replace(ahead, history="two", earlier="one", earlier_end=110), is_fenced=True),
         HEIR, 1),
    ):  # fmt: skip
        found = lacks(other, heir=heir, epoch=epoch)
        assert found is not None
        assert (found.source, found.is_moving) == ("", False)


def test_in_the_middle_of_a_full_copy_nobody_is_let() -> None:
    found = lacks(heir=replace(HEIR, is_loading=True))
    assert found is not None
    assert found.is_moving
    assert not found.is_let(allow_loss=True)


def test_a_promoted_one_shares_the_stream_it_was_promoted_from_up_to_there() -> None:
    tried = heard(replace(PROMOTED, position=300, is_primary=False), knows=2)
    assert lacks(tried) is None
    assert lacks(tried, served=2) == Lack(
        detail="b has 200 bytes more: 300, 100", bytes=200, is_moving=False
    )
    ahead = lacks(heard(replace(HEIR, position=120)), heir=replace(PROMOTED, position=300))
    assert ahead == Lack(detail="b has 20 bytes more: 120, 100", bytes=20, is_moving=False)


def test_who_went_elsewhere_lacks_all_of_the_stream_that_was_served() -> None:
    served = heard(replace(PROMOTED, position=120), knows=2)  # from 100 on it is its own
    apart = replace(HEIR, position=150)  # 50 bytes that the other one never had
    found = lacks(served, heir=apart, epoch=1, served=2)
    assert found == Lack(detail="b has 20 bytes more: 120, 100", bytes=20, is_moving=False)


def test_what_one_took_that_was_emptied_is_lost_and_that_is_said() -> None:
    emptied = heard(replace(HEIR, history="else", position=30, is_primary=True), knows=0)
    found = lacks(emptied)
    assert found is not None
    assert (found.detail, found.bytes) == ("b has 30 bytes, and knows of no activation", 30)
    assert found.is_let(allow_loss=False)
    ahead = lacks(emptied, heard(replace(HEIR, position=120), name="c"))
    assert ahead is not None
    assert ahead.detail == "c has 20 bytes more: 120, 100"
    assert not ahead.is_let(allow_loss=False)
    assert ahead.is_let(allow_loss=True)


def test_who_counts_from_0_may_have_data() -> None:
    again = replace(HEIR, history="else", position=0, is_primary=True)
    apart = Lack(detail="b has data of another history: 0, 100", bytes=1, is_moving=False)
    assert lacks(heard(again)) == apart
    assert lacks(heard(again, knows=2), epoch=2, served=2) == apart
    assert lacks(heard(again, knows=1), epoch=2, served=2) is None
    assert lacks(heard(again, knows=0), served=0) is None  # it has nothing, and knows of nothing
    assert lacks(heard(again, name="a")) == Lack(  # the heir is about to copy it
        detail="a has data of another history: 0, 100", bytes=1, is_moving=True
    )
    replica = replace(again, is_primary=False)
    found = lacks(heard(replica))
    assert found is not None
    assert found.is_let(allow_loss=False)
    assert found.bytes == 0
    assert found.detail == "what b has cannot be compared: it was started again"
    assert lacks(heard(replica, knows=2)) == apart
    assert lacks(heard(replica, knows=0)) is None


def test_data_of_another_history_is_stood_in_for_only_by_that_of_a_later_activation() -> None:
    other = replace(HEIR, history="else", position=70)
    found = lacks(heard(other))
    assert found == Lack(detail="b has data of another history: 70, 100", bytes=70, is_moving=False)
    assert lacks(heard(other), epoch=2, served=2) is None
    assert lacks(heard(other), epoch=2, served=1) == found  # that of a fence, and no activation
    assert lacks(heard(replace(other, position=1), knows=0)) is None  # it has none


def test_while_a_fenced_primary_takes_writes_nobody_knows_how_much_it_will_have() -> None:
    found = lacks(heard(replace(HEIR, is_primary=True), role=Role.FENCED))
    assert found == Lack(detail="b takes writes still", bytes=1, is_moving=True)
    ahead = replace(HEIR, is_primary=True, position=150)
    found = lacks(heard(ahead, role=Role.FENCED))
    assert found == Lack(detail="b takes writes still", bytes=50, is_moving=True)


def test_who_is_empty_in_a_group_that_was_served_stands_in_for_nobody_who_is_silent() -> None:
    empty = replace(HEIR, history="", position=0)
    found = lacks(heir=empty, epoch=0, silent={"d", "c"})
    assert found is not None
    assert found.detail == "it has no data, and c and d may have some: no answer from there"
    assert lacks(heir=empty, epoch=0, silent={"c"}, served=0) is None
    assert lacks(heir=empty, epoch=0) is None


def test_what_a_master_says_of_its_data_is_what_the_log_keeps() -> None:
    assert HEIR.report() == LoadReported(position=100, follows="a:1")


def test_an_heir_leaves_whom_it_follows_if_that_one_has_lost_its_data() -> None:
    empty = replace(HEIR, history="else", position=0, is_primary=True)
    assert is_misled(HEIR, 1, [heard(empty, name="a", knows=0)])
    assert not is_misled(HEIR, 1, [heard(empty, name="a", knows=1)])
    assert not is_misled(HEIR, 1, [heard(empty, name="b", knows=0)])


def test_an_heir_that_was_copied_over_has_not_kept_what_it_was_let_with() -> None:
    assert is_kept(HEIR, HEIR)
    assert is_kept(HEIR, replace(HEIR, position=120))
    assert is_kept(HEIR, replace(PROMOTED, position=130))
    assert not is_kept(HEIR, replace(HEIR, position=90))
    assert not is_kept(HEIR, replace(HEIR, history="else", position=500))
    assert is_kept(replace(HEIR, position=0), replace(HEIR, history="else", position=500))
