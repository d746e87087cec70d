"""Tokens are priced by the table, what the cache answered apart from what was paid for."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.cost.pricing import PriceError, Prices, cost_of, load_prices, model_of, price_tokens
from reports.summary.summary import Tokens
from tests.measured_runs import Stretch, save_measured

TABLE = """
currency = "USD"
as_of = 2026-11-23
default = "small"
[models.small]
prompt = 1.0
output = 10.0
[models.large]
prompt = 2.0
output = 20.0
"""


@pytest.fixture
def prices(tmp_path: Path) -> Prices:
    path = tmp_path / "prices.toml"
    path.write_text(TABLE)
    return load_prices(path)


def test_the_table_that_comes_along_is_read() -> None:
    prices = load_prices()
    assert prices.models[prices.default].output > prices.models[prices.default].prompt > 0


def test_a_run_costs_what_its_misses_took_and_saves_what_its_hits_would_have(tmp_path: Path, prices: Prices) -> None:
    run = save_measured(tmp_path / "runs", [Stretch(hit_ms=[1.0] * 300, miss_ms=[200.0] * 100, failed=7, seconds=20.0)])
    cost = cost_of(run.summary(), {"settings": {"default_model": "large"}}, prices)
    assert cost is not None
    assert cost.model == "large"
    assert cost.spent == pytest.approx(100 * (40 * 2.0 + 100 * 20.0) / 1e6)
    assert cost.saved == pytest.approx(3 * cost.spent)
    assert cost.saved_share == pytest.approx(0.75)
    assert cost.per_thousand == pytest.approx(cost.spent / 400 * 1000)
    assert cost.per_hour == pytest.approx(cost.spent * 180)
    assert cost.saved_per_hour == pytest.approx(cost.saved * 180)


def test_a_server_that_says_no_tokens_has_no_cost(tmp_path: Path, prices: Prices) -> None:
    run = save_measured(tmp_path / "runs", [Stretch(failed=10)])
    assert cost_of(run.summary(), {}, prices) is None


@pytest.mark.parametrize(
    ("config", "model"),
    [
        ({"settings": {"default_model": "large"}}, "large"),
        ({"settings": {"default_model": "unlisted"}}, "small"),
        ({"settings": {}}, "small"),
        ({"settings": "nonsense"}, "small"),
        ({"settings": {"default_model": ["large"]}}, "small"),
        ({}, "small"),
    ],
)
def test_a_run_is_priced_as_its_servers_model_or_the_default(
    config: dict[str, object], model: str, prices: Prices
) -> None:
    assert model_of(config, prices) == model


counts = st.integers(0, 10**9)


@given(counts, counts, counts, counts)
def test_spent_and_saved_add_up_to_the_bill_without_a_cache(prompt: int, output: int, hit: int, answered: int) -> None:
    tokens = Tokens(prompt=prompt + hit, output=output + answered, prompt_cached=hit, output_cached=answered)
    price = load_prices().models["gemini-2.5-pro"]
    spent, saved = price_tokens(tokens, price)
    assert spent + saved == pytest.approx(price.of(tokens.prompt, tokens.output))
    assert spent >= 0
    assert saved >= 0


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (TABLE.replace("1.0", "-1.0"), "models.small.prompt"),
        (TABLE.replace("10.0", "nan"), "models.small.output"),
        (TABLE.replace("10.0", '"ten"'), "models.small.output"),
        (TABLE.replace('default = "small"', 'default = "tiny"'), "tiny"),
        (TABLE.replace('"USD"', '"dollars"'), "currency"),
        (TABLE + "\n[models.small.discount]\n", "discount"),
        ("currency = ", "TOML"),
        ("\xff", "TOML"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_line_with_the_place(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(PriceError) as error:
        load_prices(path)
    assert len(str(error.value).splitlines()) == 1
    assert word in str(error.value)
    assert "mine.toml" in str(error.value)


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PriceError, match=r"nowhere\.toml"):
        load_prices(tmp_path / "nowhere.toml")
