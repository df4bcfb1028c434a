"""Labels: the algebra of joining."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimera.errors import ValidationError
from kimera.guardian import Integrity, Label, Secrecy, join

labels = st.builds(
    Label, st.sampled_from(Integrity), st.sampled_from(Secrecy), st.frozensets(st.sampled_from("abcd"), max_size=3)
)


@given(labels, labels, labels)
def test_join_is_a_semilattice(a: Label, b: Label, c: Label) -> None:
    """Promise: order, grouping and repetition of labels do not change what a value carries."""
    assert join(a, b) == join(b, a)
    assert join(a, join(b, c)) == join(join(a, b), c) == join(a, b, c)
    assert a == join(a, a)
    assert a == join(a, join())


@given(labels, labels)
def test_join_never_raises_trust_nor_lowers_secrecy(a: Label, b: Label) -> None:
    """Promise: a joined value is at most as trusted, at least as secret, and names at least the same sources."""
    both = join(a, b)
    assert both.integrity <= a.integrity
    assert both.secrecy >= a.secrecy
    assert both.sources >= a.sources


@given(labels, labels, labels)
def test_join_is_monotone(a: Label, b: Label, c: Label) -> None:
    """Promise: joining the same label to a lower and a higher one keeps their order."""
    low = join(a, b)
    assert join(low, c).integrity <= join(a, c).integrity
    assert join(low, c).secrecy >= join(a, c).secrecy
    assert join(low, c).sources >= join(a, c).sources


def test_nothing_joined_is_system_and_public() -> None:
    """Promise: the empty join is (SYSTEM, PUBLIC, no sources)."""
    assert Label(Integrity.SYSTEM, Secrecy.PUBLIC, frozenset()) == join()


@given(labels)
def test_labels_survive_plain_data(label: Label) -> None:
    """Promise: to_dict and from_dict are inverse."""
    assert label == Label.from_dict(label.to_dict())


@pytest.mark.parametrize("data", [{}, {"integrity": "ROOT", "secrecy": "PUBLIC", "sources": []}, {"integrity": 1}])
def test_a_damaged_label_is_refused(data: dict[str, object]) -> None:
    """Promise: what is no label raises ValidationError instead of becoming a trusted one."""
    with pytest.raises(ValidationError, match="integrity, secrecy and sources"):
        Label.from_dict(data)
