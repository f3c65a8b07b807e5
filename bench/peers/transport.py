"""Optimal transport by POT in double, for bench/run_cpu.py: cases KIND_NxE, KIND sinkhorn (scaling) or log, N points a
side, epsilon 1e-E of the cost's range; to an L1 marginal error of about 1e-6 (POT compares the L2 error of one marginal,
which is at most its L1 error). In and out: line_protocol.py.
"""
import line_protocol
import numpy as np
import ot


def cost(n):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(n, 2)), rng.normal(size=(n, 2)) + 1
    c = ((x[:, None] - y[None]) ** 2).sum(-1)
    return c / c.max()


def threshold(a, b, c, epsilon, method):
    """POT's stopThr (L2) that leaves an L1 error of both marginals of at most 1e-6, the largest of some."""
    for stop in 10.0 ** -np.arange(6.0, 12.0, 0.5):
        plan = ot.sinkhorn(a, b, c, epsilon, method=method, numItermax=20000, stopThr=stop, warn=False)
        if np.abs(plan.sum(0) - b).sum() + np.abs(plan.sum(1) - a).sum() <= 1e-6:
            break
    return stop


def case(method, n, exponent):
    def make():
        c, a, epsilon = cost(n), np.full(n, 1 / n), 10.0**-exponent
        stop = threshold(a, a, c, epsilon, method)
        return lambda: ot.sinkhorn(a, a, c, epsilon, method=method, numItermax=20000, stopThr=stop, warn=False)

    return make


if __name__ == "__main__":
    line_protocol.serve({
        f"{name}_{n}x{exponent}": case(method, n, exponent)
        for name, method in (("sinkhorn", "sinkhorn"), ("log", "sinkhorn_log"))
        for n in (1000, 4000, 10000)
        for exponent in (1, 2, 3)
    })
