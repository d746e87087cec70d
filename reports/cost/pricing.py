"""Tokens to money, by the price table ``prices.toml`` that its user edits; what the cache saved beside what was spent.

Only successful replies say how many tokens they took, so that is what is priced: what the cache answered was not bought
again, all else was. Not in the figures: failed and hedged attempts, which say no tokens, and requests that shared
another one's call, which are priced as if each had made its own.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from reports.errors import InputError
from reports.summary.summary import Summary, Tokens

PRICES: Final = Path(__file__).with_name("prices.toml")
"""The table that comes along."""

_Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class PriceError(InputError):
    """A price table that cannot be used; one line with the file and the place in it."""


class Price(BaseModel):
    """Amounts for a million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: _Amount
    output: _Amount

    def of(self, prompt_tokens: int, output_tokens: int) -> float:
        """What so many tokens cost."""
        return (self.prompt * prompt_tokens + self.output * output_tokens) / 1e6


class Prices(BaseModel):
    """A price table: amounts by model, in one currency; ``default`` names the model that others are priced as."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    as_of: date
    default: str
    models: dict[str, Price]

    @model_validator(mode="after")
    def _default_is_listed(self) -> Prices:
        if self.default not in self.models:
            raise ValueError(f"default {self.default!r} is not among the models")
        return self


@dataclass(frozen=True)
class Cost:
    """What a run's measured successes cost, in ``currency``; ``model`` is the one whose price was taken.

    ``spent``: paid for; ``saved``: what the cache's answers would have cost. Per 1000 successes, per hour at the
    measured rate; None where there were none.
    """

    currency: str
    model: str
    spent: float
    saved: float
    successes: int
    seconds: float

    @property
    def saved_share(self) -> float | None:
        """Which share of the bill without a cache was saved."""
        whole = self.spent + self.saved
        return self.saved / whole if whole else None

    @property
    def per_thousand(self) -> float | None:
        """Spent on a thousand successful requests."""
        return self.spent / self.successes * 1000 if self.successes else None

    @property
    def per_hour(self) -> float | None:
        """Spent in an hour at the rate of the measured window."""
        return self.spent / self.seconds * 3600 if self.seconds else None

    @property
    def saved_per_hour(self) -> float | None:
        """Saved by the cache in an hour at that rate."""
        return self.saved / self.seconds * 3600 if self.seconds else None


def load_prices(path: Path = PRICES) -> Prices:
    """The price table in a TOML file. Raises ``PriceError``."""
    try:
        return Prices.model_validate(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise PriceError(f"prices cannot be read from {path}: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PriceError(f"{path} is not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "table"
        raise PriceError(f"{path}: {where}: {first['msg']}") from None


def price_tokens(tokens: Tokens, price: Price) -> tuple[float, float]:
    """What tokens cost, as (spent, saved by the cache)."""
    spent = price.of(tokens.prompt - tokens.prompt_cached, tokens.output - tokens.output_cached)
    return spent, price.of(tokens.prompt_cached, tokens.output_cached)


def cost_of(summary: Summary, server_config: dict[str, Any], prices: Prices) -> Cost | None:
    """What a run cost; None when its replies said no tokens. ``server_config``: the manifest's, as ``/config`` gave."""
    tokens = summary.tokens
    if not tokens.prompt and not tokens.output:
        return None
    model = model_of(server_config, prices)
    spent, saved = price_tokens(tokens, prices.models[model])
    return Cost(prices.currency, model, spent, saved, summary.successes, summary.window.measured_s)


def model_of(server_config: dict[str, Any], prices: Prices) -> str:
    """The listed model that a run is priced as: its server's ``default_model``, or the table's default."""
    settings = server_config.get("settings")
    model = settings.get("default_model") if isinstance(settings, dict) else None
    return model if isinstance(model, str) and model in prices.models else prices.default
