"""Optimal transport by POT and OTT-JAX in double, for bench/run_cpu.py.

Cases METHOD_NxE: N points a side as bench/transport.cpp draws them, epsilon 1e-E of the cost's range, to an L1 marginal
error of 1e-6; counts are iterations. In and out: line_protocol.py; with the arguments "trace" and a case, lines
"seconds error" of the iterations that the method checks, errors L1.
"""
import os
import sys
import time

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

jax.config.update("jax_enable_x64", True)

TOLERANCE, MOST_ITERATIONS = 1e-6, 20000


def cost(n):
    """Squared distances of two clouds of standard normal points, one shifted by (1, 1); at most 1."""
    random = np.random.RandomState(1)

    def cloud():
        uniform = random.random_sample((n, 2))
        radius, angle = np.sqrt(-2 * np.log(1 - uniform[:, 0])), 2 * np.pi * uniform[:, 1]
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)

    x, y = cloud(), cloud() + 1
    c = (x[:, :1] - y[:, 0]) ** 2
    c += (x[:, 1:] - y[:, 1]) ** 2
    c /= c.max()
    return c


def pot(c, epsilon, **arguments):
    a = np.full(len(c), 1 / len(c))
    return ot.sinkhorn(a, a, c, epsilon, log=True, warn=False, **arguments)


def pot_threshold(c, epsilon):
    """POT's stopThr, an L2 error of the column sums, at which their L1 error is the tolerance; row sums are exact."""
    start = None
    for stop in TOLERANCE / np.sqrt(10.0) ** np.arange(1, 10):
        plan, log = pot(c, epsilon, method="sinkhorn", numItermax=MOST_ITERATIONS, stopThr=stop, warmstart=start)
        start = np.log(log["u"]), np.log(log["v"])
        l1 = np.abs(plan.sum(0) - 1 / len(c)).sum()
        if l1 <= TOLERANCE:
            return TOLERANCE * log["err"][-1] / l1
    raise RuntimeError("POT does not reach the tolerance")


def pot_case(method, n, exponent):
    def make():
        c, epsilon = cost(n), 10.0**-exponent
        stop = pot_threshold(c, epsilon)

        def work():
            plan, log = pot(c, epsilon, method=method, numItermax=MOST_ITERATIONS, stopThr=stop)
            return log["niter"]

        return work

    return make


def ott_solver(c, epsilon, lse_mode):
    """Compiled already. OTT's threshold is the L1 error of one marginal; the other is exact."""
    problem = linear_problem.LinearProblem(geometry.Geometry(jnp.asarray(c), epsilon=epsilon))
    solve = sinkhorn.Sinkhorn(lse_mode=lse_mode, threshold=TOLERANCE, max_iterations=MOST_ITERATIONS)
    compiled = jax.jit(solve).lower(problem).compile()
    return lambda: jax.block_until_ready(compiled(problem))


def ott_case(lse_mode, n, exponent):
    def make():
        solve = ott_solver(cost(n), 10.0**-exponent, lse_mode)
        return lambda: int(solve().n_iters)

    return make


def trace_pot(n, exponent):
    """The errors come from short runs, each from where the last one ended, the times from a whole run."""
    c, epsilon, start, points = cost(n), 10.0**-exponent, None, []
    pieces = dict(method="sinkhorn", numItermax=10, stopThr=0)
    while not points or points[-1][1] > TOLERANCE:
        plan, log = pot(c, epsilon, warmstart=start, **pieces)
        start = np.log(log["u"]), np.log(log["v"])
        points.append((len(points) + 1, np.abs(plan.sum(0) - 1 / n).sum() + np.abs(plan.sum(1) - 1 / n).sum()))
    before = time.perf_counter()
    pot(c, epsilon, **pieces | dict(numItermax=10 * len(points)))
    seconds = time.perf_counter() - before
    return [(seconds * piece / len(points), error) for piece, error in points]


def trace_ott(n, exponent):
    solve = ott_solver(cost(n), 10.0**-exponent, True)
    before = time.perf_counter()
    errors = np.asarray(solve().errors)
    seconds = time.perf_counter() - before
    errors = errors[errors >= 0]
    return [(seconds * (k + 1) / len(errors), error) for k, error in enumerate(errors)]


METHODS = {
    "pot": (pot_case, "sinkhorn"),
    "potlog": (pot_case, "sinkhorn_log"),
    "ott": (ott_case, False),
    "ottlog": (ott_case, True),
}

if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "trace":
        name, shape = sys.argv[2].split("_")
        for point in {"pot": trace_pot, "ottlog": trace_ott}[name](*map(int, shape.split("x"))):
            print(*point)
    else:
        line_protocol.serve({
            f"{name}_{n}x{exponent}": case(method, n, exponent)
            for name, (case, method) in METHODS.items()
            for n in (1000, 4000, 10000)
            for exponent in (1, 2, 3)
        })
