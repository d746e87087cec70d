"""What is asked, by whom and how often: fixed by the seed, Zipf by law, and kind to the cache that it is meant for."""

import itertools
import json
from collections import Counter, OrderedDict
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import chisquare, expon, kstest

from loadtests import scenarios
from loadtests.workload.catalogue import Catalogue
from loadtests.workload.load_models import Think
from loadtests.workload.popularity import zipf_cumulative
from loadtests.workload.scenario import Scenario
from loadtests.workload.workload import Workload
from server.gemini.reply_text import compose
from server.models import ProcessRequest

SMALL = Scenario(name="small", summary="a small one", load=Think(mean_s=0.5), catalogue=Catalogue(items=64))


def first(plan, n):
    return list(itertools.islice(plan, n))


@given(st.integers(1, 500), st.floats(0, 3))
def test_zipf_law_is_the_textbook_one(items, exponent):
    weights = np.arange(1, items + 1, dtype=float) ** -exponent
    expected = np.cumsum(weights) / weights.sum()
    assert zipf_cumulative(items, exponent) == pytest.approx(expected, rel=1e-9)
    assert zipf_cumulative(items, exponent)[-1] == 1.0


@pytest.mark.parametrize(("items", "exponent"), [(0, 1.0), (-3, 1.0), (10, -0.1)])
def test_no_zipf_law_without_items_or_with_a_negative_exponent(items, exponent):
    with pytest.raises(ValueError, match="Zipf"):
        zipf_cumulative(items, exponent)


def test_items_are_asked_as_often_as_the_law_says():
    workload = Workload(SMALL, seed=3)
    asked = Counter(item for user in range(40) for _, item in first(workload.user(user), 500))
    law = np.diff([0.0, *zipf_cumulative(64, 1.0)])
    assert chisquare([asked[item] for item in range(64)], law * 20_000).pvalue > 1e-4


def test_pauses_are_exponential_with_the_mean_asked_for():
    workload = Workload(SMALL, seed=3)
    pauses = [pause for user in range(20) for pause, _ in first(workload.user(user), 200)]
    assert kstest(pauses, expon(scale=0.5).cdf).pvalue > 1e-4


def test_a_users_requests_depend_on_nothing_but_seed_and_user():
    alone = {user: first(Workload(SMALL, seed=7).user(user), 30) for user in (0, 5, 999)}
    workload = Workload(SMALL, seed=7)
    plans = {user: workload.user(user) for user in (999, 0, 5)}
    interleaved = {user: [] for user in plans}
    for user in Random(1).choices([0, 5, 999], k=400):
        interleaved[user].append(next(plans[user]))
    for user, requests in alone.items():
        assert interleaved[user][:30] == requests
    assert alone[0] != alone[5]


def test_same_seed_same_bytes_and_other_seed_other_bytes_and_order():
    one, again, other = Workload(SMALL, 7), Workload(SMALL, 7), Workload(SMALL, 8)
    assert one.questions == again.questions
    assert one.manifest() == again.manifest()
    assert one.questions != other.questions
    assert first(one.user(0), 20) != first(other.user(0), 20)
    assert one.digest() != other.digest()


def test_the_digest_tells_workloads_apart_that_differ_only_in_their_pauses():
    slower = Scenario(name="small", summary="", load=Think(mean_s=0.6), catalogue=Catalogue(items=64))
    assert Workload(SMALL, 7).digest() != Workload(slower, 7).digest()


def test_every_body_is_a_request_that_the_server_accepts_and_whose_echo_proves_it():
    workload = Workload(SMALL, seed=1)
    for question in workload.questions:
        request = ProcessRequest.model_validate_json(question.body)
        echoed = json.dumps([compose(prompt, 40, 0)[0] for prompt in request.prompts]).encode()
        assert len(question.tags) == len(request.prompts)
        assert all(tag in echoed for tag in question.tags)


def test_fan_out_is_one_to_four_agents_are_fifty_and_no_tag_is_anothers():
    workload = Workload(scenarios.load("steady"), seed=1)
    requests = [json.loads(question.body) for question in workload.questions]
    assert {len(request["prompts"]) for request in requests} == {1, 2, 3, 4}
    assert len({request["agent_id"] for request in requests}) == 50
    tags = [tag for question in workload.questions for tag in question.tags]
    assert len(set(tags)) == len(tags)
    everything = b"".join(question.body for question in workload.questions)
    assert all(everything.count(tag) == 1 for tag in tags[::97])


def che_hit_share(cumulative, entries):
    """H. Che, Y. Tung, Z. Wang: Hierarchical Web Caching Systems, IEEE JSAC 20(7), 2002."""
    popularity = np.diff([0.0, *cumulative])
    window = brentq(lambda t: (1 - np.exp(-popularity * t)).sum() - entries, 1, 1e9)
    return float((popularity * (1 - np.exp(-popularity * window))).sum())


def test_steady_hits_its_recommended_cache_as_its_docstring_says_and_soon():
    scenario = scenarios.load("steady")
    entries = int(scenario.server["cache.max_entries"])
    workload = Workload(scenario, seed=42)
    users = [workload.user(user) for user in range(100)]
    cache: OrderedDict[int, None] = OrderedDict()
    hits, filled_after = [], None
    for k in range(20_000):
        _, item = next(users[k % 100])
        hits.append(item in cache)
        cache[item] = None
        cache.move_to_end(item)
        if len(cache) > entries:
            cache.popitem(last=False)
        if filled_after is None and len(cache) == entries:
            filled_after = k
    expected = che_hit_share(zipf_cumulative(4096, 1.0), entries)
    assert expected == pytest.approx(0.58, abs=0.005)
    assert np.mean(hits[1000:]) == pytest.approx(expected, abs=0.015)
    assert filled_after is not None
    assert filled_after < 600
