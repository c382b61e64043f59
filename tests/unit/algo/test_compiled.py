"""Losses can be compiled and captured: one graph, no tensor asked for its value, the same numbers."""

from __future__ import annotations

import warnings

import pytest
import torch

from robonav_ray.algo.objective import Batch, make_objective
from tests.unit.algo.test_objective import CPU, make_batch, networks
from tests.unit.algo.variants import VARIANTS

QUICK = ("rainbow", "munchausen_iqn")


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in VARIANTS])
def test_an_update_is_one_graph(name):
    """Traced without a compiler (backend eager); ``fullgraph`` refuses every step that would leave the graph."""
    algo = VARIANTS[name]
    online, target = networks(algo)
    batch, objective = make_batch(8), make_objective(algo)
    draws = objective.draw(online, 3, 8, 8, CPU)
    expected = objective.rows(online, online, target, batch, draws)
    torch.compiler.reset()  # only so many variants of one function are traced
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's tracer warns about its own imports
        traced = torch.compile(
            lambda b, d: objective.rows(online, online, target, b, d), backend="eager", fullgraph=True
        )
        got = traced(batch, draws)
    torch.testing.assert_close(got.loss, expected.loss)
    torch.testing.assert_close(got.td_error, expected.td_error)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", VARIANTS)
def test_a_gpu_gives_the_same_losses_also_from_a_graph(name):
    algo, cuda = VARIANTS[name], torch.device("cuda")
    online, target = networks(algo)
    batch, objective = make_batch(64), make_objective(algo)
    expected = objective.rows(online, online, target, batch, objective.draw(online, 3, 8, 64, CPU))
    online, target = online.to(cuda), target.to(cuda)
    batch, draws = Batch(*(t.to(cuda) for t in batch)), objective.draw(online, 3, 8, 64, cuda)

    def step():
        online.zero_grad(set_to_none=True)
        rows = objective.rows(online, online, target, batch, draws)
        rows.loss.mean().backward()
        return rows

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        rows = step()
    graph.replay()
    torch.cuda.synchronize()
    torch.testing.assert_close(rows.loss.cpu(), expected.loss, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(rows.td_error.cpu(), expected.td_error, rtol=1e-3, atol=1e-4)
