"""Batches of optimal-transport problems by OTT-JAX (vmap, compiled) and POT (solve_batch) in float, for
bench/run_cpu.py.

Cases METHOD_NxMxB: B problems of N x M as bench/batch.cpp has them, uniform random costs, epsilon 0.05, to a marginal
error of 1e-3 or 500 iterations; counts are the iterations that all problems go through together. In and out:
line_protocol.py.
"""
import os

threads = int(os.environ.get("OMP_NUM_THREADS", 2))
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])  # JAX has a thread for each CPU it may run on

import jax
import jax.numpy as jnp
import line_protocol
import numpy as np
import ot
from ott.geometry import geometry
from ott.problems.linear import linear_problem
from ott.solvers.linear import sinkhorn

EPSILON, TOLERANCE, MOST_ITERATIONS = 0.05, 1e-3, 500
SHAPES = ((64, 64, 10_000), (4, 4, 1_000_000))


def costs(n, m, problems):
    return np.random.default_rng(1).uniform(size=(problems, n, m)).astype(np.float32)


def ott_case(lse_mode, shape):
    def make():
        def solve(cost):
            problem = linear_problem.LinearProblem(geometry.Geometry(cost, epsilon=EPSILON))
            solver = sinkhorn.Sinkhorn(lse_mode=lse_mode, threshold=TOLERANCE, max_iterations=MOST_ITERATIONS)
            out = solver(problem)
            return out.f, out.g, out.errors[-1], out.n_iters

        c = jnp.asarray(costs(*shape))
        compiled = jax.jit(jax.vmap(solve)).lower(c).compile()
        return lambda: int(jax.block_until_ready(compiled(c))[3].max())

    return make


def pot_case(method, shape):
    def make():
        c = costs(*shape)
        return lambda: ot.solve_batch(c, EPSILON, max_iter=MOST_ITERATIONS, tol=TOLERANCE, method=method, grad="detach").value_linear

    return make


METHODS = {
    "ott": (ott_case, False),
    "ottlog": (ott_case, True),
    "pot": (pot_case, "sinkhorn"),
    "potlog": (pot_case, "log_sinkhorn"),
}

if __name__ == "__main__":
    line_protocol.serve({
        f"{name}_{'x'.join(map(str, shape))}": case(method, shape)
        for name, (case, method) in METHODS.items()
        for shape in SHAPES
    })
