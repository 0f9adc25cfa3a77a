"""SlotTable: no slot is given twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.engine.slots import SlotTable


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 5))
def test_the_slot_table_never_gives_a_slot_twice(operations: list[bool], slots: int) -> None:
    table: SlotTable[int] = SlotTable(slots)
    taken: dict[int, int] = {}
    for number, takes in enumerate(operations):
        if takes and table.n_free:
            slot = table.take(number)
            assert slot == min(set(range(slots)) - set(taken)), "the lowest free slot"
            taken[slot] = number
        elif taken:
            slot = next(iter(taken))
            table.release(slot)
            del taken[slot]
        assert dict(table.items()) == taken
        assert table.n_free + table.n_taken == slots


def test_a_retired_slot_is_given_to_no_other() -> None:
    table: SlotTable[str] = SlotTable(2)
    table.retire(table.take("a"))
    assert table.take("b") == 1
    assert (table.n_free, table.n_taken) == (0, 1)
