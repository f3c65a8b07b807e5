"""Entropic transport by POT (Python Optimal Transport) and OTT-JAX in double, for tests/sinkhorn.

In: nothing. Out: transport_balanced.bin and transport_unbalanced.bin by POT, transport_ott.bin with both kinds by OTT.
Run it with numpy, POT and ott-jax installed: `python transport.py`.

A file holds cases 0, 1, ...: cost.N (n x m), a.N, b.N (masses), options.N (epsilon, rho_a, rho_b), plan.N and, where
OTT has it, value.N = sum P C + epsilon KL(P | a b'). Unbalanced problems have KL(P | a b') for an entropy: POT's
reg_type "kl". OTT's is sum P (log P - 1) there, so that it is given cost - epsilon log(a b').
"""
import jax
import numpy as np
import ot
from ott.geometry import geometry
from ott.problems.linear import linear_problem
from ott.solvers.linear import sinkhorn

import golden_file

jax.config.update("jax_enable_x64", True)


def masses(rng, size):
    m = rng.uniform(0.2, 1, size)
    return m / m.sum()


def squared_distances(rng, n, m):
    x, y = rng.normal(size=(n, 2)), rng.normal(size=(m, 2)) + 0.5
    return ((x[:, None] - y[None]) ** 2).sum(-1)


def balanced(rng):
    for n, m in ((9, 7), (6, 14), (1, 5), (5, 1), (16, 16)):
        for epsilon in (1.0, 0.1, 0.05):
            cost, a, b = squared_distances(rng, n, m), masses(rng, n), masses(rng, m)
            plan, log = ot.sinkhorn(a, b, cost, epsilon, method="sinkhorn", numItermax=200000, stopThr=1e-14,
                                    log=True, warn=False)
            assert np.abs(plan.sum(1) - a).sum() + np.abs(plan.sum(0) - b).sum() < 1e-12
            yield cost, a, b, (epsilon, np.inf, np.inf), plan


def unbalanced(rng):
    for n, m in ((9, 7), (5, 12)):
        for epsilon in (1.0, 0.1):
            for rho in ((1.0, 1.0), (0.3, 2.0), (np.inf, 0.5)):
                cost, a, b = squared_distances(rng, n, m), masses(rng, n), 1.5 * masses(rng, m)
                plan = ot.unbalanced.sinkhorn_unbalanced(a, b, cost, epsilon, rho, method="sinkhorn", reg_type="kl",
                                                         numItermax=100000, stopThr=1e-15)
                yield cost, a, b, (epsilon, *rho), plan


def by_ott(rng):
    def solve(cost, a, b, epsilon, tau_a=1.0, tau_b=1.0):
        problem = linear_problem.LinearProblem(geometry.Geometry(cost, epsilon=epsilon), a, b, tau_a, tau_b)
        return sinkhorn.Sinkhorn(threshold=1e-14, max_iterations=20000)(problem)

    for n, m in ((9, 7), (5, 12), (1, 4), (17, 17)):
        for epsilon in (1.0, 0.1):
            cost, a, b = squared_distances(rng, n, m), masses(rng, n), masses(rng, m)
            b[0] = 0
            b /= b.sum()
            out = solve(cost, a, b, epsilon)
            yield cost, a, b, (epsilon, np.inf, np.inf), out.matrix, out.kl_reg_cost
            for rho in ((1.0, 1.0), (0.3, 2.0), (np.inf, 0.5)):
                cost, a, b = squared_distances(rng, n, m), masses(rng, n), 1.5 * masses(rng, m)
                tau = [1.0 if np.isinf(r) else r / (r + epsilon) for r in rho]
                out = solve(cost - epsilon * np.log(np.outer(a, b)), a, b, epsilon, *tau)
                yield cost, a, b, (epsilon, *rho), out.matrix


def write(name, cases):
    arrays = {}
    for n, case in enumerate(cases):
        arrays |= {f"{key}.{n}": array for key, array in zip(("cost", "a", "b", "options", "plan", "value"), case)}
    golden_file.write(name, arrays)


def main():
    write("transport_balanced.bin", balanced(np.random.default_rng(20130604)))
    write("transport_unbalanced.bin", unbalanced(np.random.default_rng(20150824)))
    write("transport_ott.bin", by_ott(np.random.default_rng(20220128)))


if __name__ == "__main__":
    main()
