"""The parts of bench/run_cpu.py that are about optimal transport.

In: programs and peers behind the line protocol. Out: Markdown tables, figures, a picture in docs/results/.
"""
import math
import os
import pathlib
import subprocess
import sys

from timing import in_turn, milliseconds, table

# No round of a comparison begins later.
SECONDS = 20


def iterations(program, case):
    return f"{program.count[case]:.0f}" if case in program.count else "-"


def time_solve(options, programs, peers):
    sizes = [int(n) for n in options.points.split(",")]
    ours, theirs = programs("transport"), {name: peers("transport") for name in ("pot", "ott", "ottlog")}
    rows, results = [], {}
    for n in sizes:
        for exponent in (1, 2, 3):
            shape = f"{n}x{exponent}"
            in_turn(options.rounds, [(ours, f"automatic_{shape}", 10 if n <= 1000 else 3)] +
                    [(program, f"{name}_{shape}", 1) for name, program in theirs.items()], SECONDS)
            t = ours.least[f"automatic_{shape}"]
            least = {name: program.least[f"{name}_{shape}"] for name, program in theirs.items()}
            rows.append([f"{n}", f"1e-{exponent}"] + [milliseconds(seconds) for seconds in (t, *least.values())] +
                        [f"**{min(least.values()) / t:.1f}**", iterations(ours, f"automatic_{shape}")] +
                        [iterations(theirs[name], f"{name}_{shape}") for name in ("pot", "ott")])
            results[shape] = dict(seconds=t, **least)
    limit = theirs["ott"].limit
    text = ("All end at the first check that finds the marginals' L1 error at most 1e-6: ours at any iteration, POT's "
            "and OTT's at every tenth. POT: method `sinkhorn`, with the `stopThr` (L2) that stands for it. OTT: "
            "`lse_mode` False and True. Costs are squared distances of normal points in the plane, epsilon is a part of "
            "their range, marginals are uniform. "
            f"A peer's case, with its preparation, is given up after {limit:.0f} s (too long).\n\n" +
            table(["n", "epsilon", "ms", "POT ms", "OTT ms", "OTT log ms", "best peer / ours", "iterations", "POT's",
                   "OTT's"], rows))
    log_text, results["log"] = time_log_domain(options, sizes, ours, theirs["pot"])
    return text + log_text + ("" if options.dry else plot_errors(options)), results


def time_log_domain(options, sizes, ours, theirs):
    rows, results = [], {}
    for n, exponents in ((1000, (1, 2, 3)), (4000, (1, 2))):  # POT takes minutes beyond
        for exponent in exponents if n in sizes else ():
            shape = f"{n}x{exponent}"
            in_turn(options.rounds, [(ours, f"log_{shape}", 3), (theirs, f"potlog_{shape}", 1)], SECONDS)
            t, pot = ours.least[f"log_{shape}"], theirs.least[f"potlog_{shape}"]
            rows.append([f"{n}", f"1e-{exponent}", milliseconds(t), milliseconds(pot), f"**{pot / t:.0f}**",
                         iterations(ours, f"log_{shape}"), iterations(theirs, f"potlog_{shape}")])
            results[shape] = dict(seconds=t, pot=pot)
    return ("\nIn the log domain, against POT's method `sinkhorn_log`:\n\n" +
            table(["n", "epsilon", "ms", "POT ms", "POT / ours", "iterations", "POT's"], rows)), results


BATCHES = {"64x64x10000": ("ott", "ottlog", "pot", "potlog"), "4x4x1000000": ("ott",)}  # the others take minutes


def time_batch(options, programs, peers):
    ours, theirs = programs("batch"), {name: peers("batch") for name in ("ott", "ottlog", "pot", "potlog")}
    rows, results = [], {}
    for shape, chosen in BATCHES.items():
        in_turn(options.rounds, [(ours, f"batch_{shape}", 3)] +
                [(theirs[name], f"{name}_{shape}", 1) for name in chosen], SECONDS)
        t = ours.least[f"batch_{shape}"]
        least = {name: program.least.get(f"{name}_{shape}", math.nan) for name, program in theirs.items()}
        ott = min(least[name] for name in chosen if name.startswith("ott"))
        rows.append([shape.replace("x", " x ")] + [milliseconds(seconds) for seconds in (t, *least.values())] +
                    [f"**{ott / t:.1f}**", iterations(ours, f"batch_{shape}"),
                     iterations(theirs["ott"], f"ott_{shape}")])
        results[shape] = dict(seconds=t, **least)
    text = ("Uniform random costs, epsilon 0.05, to a marginal error of 1e-3. OTT: `vmap`, compiled, `lse_mode` False "
            "and True. POT: `solve_batch`, methods `sinkhorn` and `log_sinkhorn`. Ours stops each problem by itself, "
            "and its iterations are the mean.\n\n" +
            table(["n x m x problems", "ms", "OTT ms", "OTT log ms", "POT ms", "POT log ms", "OTT / ours", "iterations",
                   "OTT's"], rows))
    return text, results


def time_points(options, programs, peers):
    ours = programs("points")
    rows, results = [], {}
    for n in (1000, 5000, 20000):
        cases = [f"points_{n}"] + ([f"matrix_{n}"] if n <= 5000 else [])
        in_turn(options.rounds, [(ours, case, 1) for case in cases], SECONDS)
        t, stored = ours.least[f"points_{n}"], ours.least.get(f"matrix_{n}", math.nan)
        memory = float(subprocess.run([str(options.build / "bench/bench_points"), "memory", str(n)], check=True,
                                      text=True, capture_output=True).stdout.split()[1])
        rows.append([f"{n}", milliseconds(t), iterations(ours, f"points_{n}"), f"{memory:.0f}",
                     milliseconds(stored), f"{8e-6 * n * n:.0f}"])
        results[str(n)] = dict(seconds=t, stored=stored, memory_megabytes=memory)
    text = ("Points in 3 dimensions, squared Euclidean distances, epsilon 1e-2 of the largest, marginal error 1e-6. On "
            "points nothing of n x n is stored; on `cost_matrix` of them the matrix is, and its float kernel beside.\n\n" +
            table(["n a side", "ms", "iterations", "peak MB above the points", "ms with the matrix", "MB of the matrix"],
                  rows))
    return text, results


def trace(command, options):
    output = subprocess.run([str(word) for word in command], check=True, text=True, capture_output=True,
                            env=dict(os.environ, OMP_NUM_THREADS=str(options.threads))).stdout
    return [tuple(map(float, line.split())) for line in output.splitlines()]


METHODS = {
    "ours": ("swav", "#0b6e4f"),
    "pot": ("POT, scaling", "#c1571a"),
    "ottlog": ("OTT-JAX, log-sum-exp", "#6a4c93"),
}


def plot_errors(options):
    """Draws docs/results/transport_error.svg and returns the line that shows it."""
    import matplotlib
    matplotlib.use("svg")
    import matplotlib.pyplot as plt
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "swav", "font.family": "sans-serif", "font.size": 10,
                         "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for axis, exponent in zip(axes, (2, 3)):
        shape = f"4000x{exponent}"
        commands = {"ours": [options.build / "bench/bench_transport", "trace", f"automatic_{shape}"]}
        commands |= {name: [sys.executable, pathlib.Path(__file__).parent / "peers/transport.py", "trace",
                            f"{name}_{shape}"] for name in ("pot", "ottlog")}
        for name, command in commands.items():
            label, color = METHODS[name]
            seconds, errors = zip(*trace(command, options))
            axis.plot(seconds, errors, color=color, linewidth=1.8, marker="o" if len(errors) < 60 else None,
                      markersize=3.5, label=label)
        axis.axhline(1e-6, color="#999999", linewidth=0.8, linestyle="--", zorder=0)
        axis.set(xscale="log", yscale="log", xlabel="seconds", ylim=(1e-7, 3),
                 title=f"4000 x 4000, epsilon 1e-{exponent} of the range")
        axis.grid(color="#e6e6e6", linewidth=0.6)
    axes[0].set_ylabel("L1 marginal error")
    axes[0].legend(frameon=False, loc="upper right")
    figure.savefig(options.results / "transport_error.svg", metadata={"Date": None})
    return ("\nError against time, to the first check below 1e-6:\n\n"
            "![L1 marginal error against seconds: this library, POT and OTT-JAX](results/transport_error.svg)\n")
