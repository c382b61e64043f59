"""The question for distributions: put once, answered when all have answered, and without a part that is lost."""

import numpy as np

from robonav_ray.calls import PartGoneError
from robonav_ray.commands import Described, Refused
from robonav_ray.histograms import Histogram
from robonav_ray.replay.shard_records import PRIORITY_EDGES
from robonav_ray.runtime.over_ray.distribution_poll import DistributionPoll
from tests.part_fakes import Asked, FakeCall

WEIGHTS = Histogram.of("learner/weights/a", np.arange(3.0))
COUNTS = np.ones(len(PRIORITY_EDGES) - 1, np.int64)


def test_it_answers_when_all_have_and_then_asks_anew() -> None:
    learner, shards = Asked(), [FakeCall(), FakeCall()]
    poll = DistributionPoll(learner, lambda: shards)
    assert (len(learner.calls), poll.take()) == (0, None), "asked at the first call"
    learner.newest.answer(Described((WEIGHTS,)))
    shards[0].answer(COUNTS)
    assert poll.take() is None
    shards[1].answer(2 * COUNTS)
    found = poll.take()
    assert found is not None
    assert [h.name for h in found] == ["learner/weights/a", "replay/priority"]
    np.testing.assert_array_equal(found[1].counts, 3 * COUNTS)
    assert len(learner.calls) == 1
    poll.take()
    assert len(learner.calls) == 2


def test_what_is_lost_or_refuses_is_left_out() -> None:
    learner, shards = Asked(), [FakeCall(), FakeCall()]
    poll = DistributionPoll(learner, lambda: shards)
    poll.take()
    learner.newest.answer(Refused("the learner restarted before it answered"))
    shards[0].fail(PartGoneError("dead"))
    shards[1].answer(COUNTS)
    found = poll.take()
    assert found is not None
    assert [h.name for h in found] == ["replay/priority"]
