"""Numbers as people read them: small and huge changes alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.readable import change, either_way


@pytest.mark.parametrize(
    ("ratio", "told"),
    [
        (1.0, "0.0%"),
        (0.9, "-10.0%"),
        (1.004, "+0.4%"),
        (2.0, "+100%"),
        (9.99, "+899%"),
        (16.4, "×16.4"),
        (2875.0, "×2,875"),
        (0.11, "-89.0%"),
        (1 / 16.4, "÷16.4"),
        (1 / 2875, "÷2,875"),
        (3e9, "×>100,000"),
        (1e-6, "÷>100,000"),
        (0.0, "-100%"),
    ],
)
def test_a_change_in_per_cent_and_beyond_tenfold_as_a_factor(ratio: float, told: str) -> None:
    assert change(ratio) == told


@given(st.floats(10.0, 1e6))
def test_a_factor_up_and_the_same_down_read_alike(factor: float) -> None:
    assert change(factor).removeprefix("×") == change(1.0 / factor).removeprefix("÷")


@pytest.mark.parametrize(
    ("fraction", "told"), [(0.042, "±4.2%"), (0.999, "±99.9%"), (163.0, "a factor of 164"), (3e9, "a factor >100,000")]
)
def test_what_could_be_told_either_way_never_reads_as_less_than_nothing(fraction: float, told: str) -> None:
    assert either_way(fraction) == told
