"""Times Sinkhorn::solve on a GPU beside POT (PyTorch's arrays), OTT (JAX) and flash-sinkhorn, where they install, in one
run. In: the built bench_solve. Out: docs/results/gpu-solve-<name>.json and its table on the standard output. Medians of
solves with the wait.

"matrix N E": a cost in the GPU's memory, in double, of N points a side in the plane, at most 1, epsilon 1e-E, to an L1
error of the marginals of 1e-6. "points N D": from points of D dimensions in float, epsilon a twentieth of the mean cost,
100 iterations; peers that store the cost find it in each call."""

import os
import sys
import tempfile
import time

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import numpy as np
import torch

from report import Report, ours

CASES = [("matrix", 4096, 1), ("matrix", 4096, 2), ("matrix", 4096, 3), ("matrix", 10000, 2), ("points", 4096, 64),
         ("points", 16384, 64), ("points", 16384, 3)]
TOLERANCE, MOST_ITERATIONS, ITERATIONS, MOST_SECONDS = 1e-6, 20000, 100, 5
NOT_CONVERGED = "not converged"
# All cases of one before the next one: after a fault in a library's kernel this process can do nothing more on the GPU.
PEERS = ["pot", "pot log", "ott", "ott log", "flash-sinkhorn", "flash-sinkhorn tf32"]


class Problem:
    def __init__(self, kind, points, number):
        random = np.random.default_rng(1)
        self.kind, dimension = kind, 2 if kind == "matrix" else number
        self.x, self.y = random.normal(size=(points, dimension)), random.normal(size=(points, dimension)) + 1
        self.scalar, self.tolerance, self.iterations = "double", TOLERANCE, MOST_ITERATIONS
        sample = ((self.x[:1000, None] - self.y[None, :1000]) ** 2).sum(-1)
        self.epsilon = 0.05 * float(sample.mean())
        if kind == "matrix":
            whole = (self.x ** 2).sum(1)[:, None] + (self.y ** 2).sum(1) - 2 * self.x @ self.y.T
            scale = 1 / np.sqrt(whole.max())
            self.x, self.y, self.epsilon = self.x * scale, self.y * scale, 10.0 ** -number
        else:
            self.scalar, self.tolerance, self.iterations = "float", 1e-30, ITERATIONS

    def tensors(self):
        dtype = torch.float64 if self.scalar == "double" else torch.float32
        return torch.tensor(self.x, dtype=dtype, device="cuda"), torch.tensor(self.y, dtype=dtype, device="cuda")


def own(binary, problem):
    with tempfile.NamedTemporaryFile() as file:
        file.write(problem.x.tobytes() + problem.y.tobytes())
        file.flush()
        return ours(binary, problem.kind, problem.scalar, file.name, *map(str, problem.x.shape), repr(problem.epsilon),
                    str(problem.iterations), repr(problem.tolerance))


def timed(work):
    """`work` waits for the GPU and returns iterations and error, or None where it does not tell."""
    work()
    times, start = [], time.perf_counter()
    while len(times) < 20 and (not times or time.perf_counter() - start < MOST_SECONDS):
        before = time.perf_counter()
        iterations, error = work()
        times.append(1e3 * (time.perf_counter() - before))
    return {"median_ms": sorted(times)[len(times) // 2], "least_ms": min(times), "iterations": iterations, "error": error}


def l1(plan):
    """The L1 error of uniform marginals."""
    a, b = 1 / plan.shape[0], 1 / plan.shape[1]
    return float((plan.sum(1) - a).abs().sum() + (plan.sum(0) - b).abs().sum())


def pot(problem, method):
    import ot
    x, y = problem.tensors()
    a = torch.full((len(x),), 1 / len(x), dtype=x.dtype, device="cuda")
    stored = torch.cdist(x, y).square()

    def solve(stop, most=problem.iterations):
        cost = stored if problem.kind == "matrix" else torch.cdist(x, y).square()
        plan, log = ot.sinkhorn(a, a, cost, problem.epsilon, method=method, numItermax=most, stopThr=stop, log=True,
                                warn=False)
        torch.cuda.synchronize()
        return plan, log

    stop = 0
    if problem.kind == "matrix":  # POT's is an L2 error: one at which the L1 error is the tolerance
        for stop in TOLERANCE / np.sqrt(10.0) ** np.arange(0, 8):
            before = time.perf_counter()
            plan, log = solve(stop)
            if l1(plan) <= TOLERANCE:
                break
            if time.perf_counter() - before > MOST_SECONDS or log.get("niter", 0) >= problem.iterations - 1:
                raise RuntimeError(NOT_CONVERGED)
        else:
            raise RuntimeError(NOT_CONVERGED)
    error = l1(solve(stop)[0])
    return timed(lambda: (int(solve(stop)[1].get("niter", problem.iterations)), error))


def ott(problem, lse_mode):
    import jax
    jax.config.update("jax_enable_x64", problem.scalar == "double")
    jax.config.update("jax_default_matmul_precision", "float32")  # or products of floats are made in TF32
    import jax.numpy as jnp
    from ott.geometry import geometry, pointcloud
    from ott.problems.linear import linear_problem
    from ott.solvers.linear import sinkhorn
    if jax.default_backend() != "gpu":
        raise RuntimeError("JAX without CUDA")
    x, y = jnp.asarray(problem.x), jnp.asarray(problem.y)
    if problem.kind == "matrix":
        cost = ((x[:, None] - y[None]) ** 2).sum(-1)
        solver = sinkhorn.Sinkhorn(lse_mode=lse_mode, threshold=TOLERANCE, max_iterations=problem.iterations)
        call = jax.jit(lambda c: solver(linear_problem.LinearProblem(geometry.Geometry(c, epsilon=problem.epsilon))))
        if not told(call(cost))[1] <= TOLERANCE:
            raise RuntimeError(NOT_CONVERGED)
        return timed(lambda: told(jax.block_until_ready(call(cost))))
    solver = sinkhorn.Sinkhorn(lse_mode=lse_mode, threshold=0.0, min_iterations=problem.iterations,
                               max_iterations=problem.iterations)
    call = jax.jit(lambda x, y: solver(linear_problem.LinearProblem(
        pointcloud.PointCloud(x, y, epsilon=problem.epsilon))))
    return timed(lambda: told(jax.block_until_ready(call(x, y))))


def told(out):
    errors = np.asarray(out.errors)
    return int(out.n_iters), float(errors[errors != -1][-1])  # of what is not looked at, -1


def flash(problem, tf32):
    from flash_sinkhorn import SamplesLoss
    if problem.kind == "matrix":
        raise RuntimeError("-")
    x, y = problem.tensors()
    loss = SamplesLoss(loss="sinkhorn", backend="alternating", use_epsilon_scaling=False, eps=problem.epsilon,
                       n_iters=problem.iterations, debias=False, allow_tf32=tf32)

    def work():
        loss(x, y)
        torch.cuda.synchronize()
        return problem.iterations, None

    return timed(work)


def figures(name, problem):
    try:
        with torch.no_grad():
            library, _, mode = name.partition(" ")
            if library == "pot":
                return pot(problem, "sinkhorn_log" if mode else "sinkhorn")
            return ott(problem, bool(mode)) if library == "ott" else flash(problem, bool(mode))
    except torch.OutOfMemoryError:
        return {"failed": "out of memory"}
    except Exception as error:  # not installed, or its compiler's: the other figures stand
        return {"failed": str(error).split("\n")[0][:80] or type(error).__name__}
    finally:
        torch.cuda.empty_cache()


def main(binary, results):
    name = torch.cuda.get_device_name()
    problems = [Problem(*case) for case in CASES]
    rows = [{"case": " ".join(map(str, case)), "epsilon": problem.epsilon} for case, problem in zip(CASES, problems)]
    report = Report(results, "solve-", name, rows, torch=torch.__version__)
    print(f"{name}\n")
    for row, problem in zip(rows, problems):
        report.add(row, "swav", own(binary, problem))
    for peer in PEERS:
        for row, problem in zip(rows, problems):
            report.add(row, peer, figures(peer, problem))
    print(f"\n| case | ms | iterations | {' | '.join(PEERS)} |\n|---|---|---|{'---|' * len(PEERS)}")
    for row, problem in zip(rows, problems):
        ms = row["swav"].get("median_ms")
        note = "" if row["swav"].get("converged", True) or problem.kind == "points" else " (not converged)"
        cells = [row[peer].get("failed") or (f'{row[peer]["median_ms"] / ms:.2f} x' if ms else "") for peer in PEERS]
        print(f'| {row["case"]} | {row["swav"].get("failed") or f"{ms:.3f}"} | {row["swav"].get("iterations", "")}{note} | '
              f'{" | ".join(cells)} |')
    print(f"\nwritten: {report.path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
