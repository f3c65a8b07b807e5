"""Times the library and its peers in turn and writes down the ratios of each one's least time.

    python bench/run_cpu.py BUILD_FOLDER [--only PART,...] [--rounds N] [--no-compile] [--points N,...]
                                             [--limit SECONDS] [--dry]

BUILD_FOLDER has the bench programs. Out: each part's entry of docs/results/cpu.json and its marked section of
docs/results.md; pictures in docs/results/. Run it through bench/run.sh, which builds and installs what it needs.
"""
import argparse
import dataclasses
import datetime
import importlib.metadata
import json
import math
import os
import pathlib
import platform
import subprocess
import sys
import typing

import crops_parts
import transport_parts
from timing import Program, in_turn, milliseconds, table

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs/results"
CODES = ("512x3000", "4096x3000", "256x300")
LOSSES = ("64x3000x8", "256x3000x8", "256x300x8", "256x3000x2")


def time_codes(options, programs, peers):
    ours, theirs = programs("codes"), peers("codes")
    rows, results = [], {}
    for shape in CODES:
        in_turn(options.rounds, [(ours, f"codes_{shape}", 20), (theirs, f"eager_{shape}", 10)] +
                ([] if options.no_compile else [(theirs, f"compiled_{shape}", 10)]) +
                [(ours, f"read_{shape}", 20), (ours, f"copy_{shape}", 20)])
        t = ours.least[f"codes_{shape}"]
        bound = 3 * ours.least[f"read_{shape}"] + ours.least[f"copy_{shape}"]
        eager, compiled = theirs.least[f"eager_{shape}"], theirs.least.get(f"compiled_{shape}", math.nan)
        rows.append([shape.replace("x", " x "), milliseconds(t), milliseconds(eager), milliseconds(compiled),
                     f"**{eager / t:.1f}**", "-" if math.isnan(compiled) else f"{compiled / t:.1f}", f"{bound / t:.0%}"])
        results[shape] = dict(seconds=t, eager=eager, compiled=compiled, traffic_bound=bound)
    text = ("The traffic bound is 4 reads and a write of the matrix, at the speed at "
            "which this machine reads and copies that very matrix.\n\n" +
            table(["B x K", "ms", "PyTorch ms", "torch.compile ms", "PyTorch / ours", "torch.compile / ours",
                   "traffic bound / ours"], rows))
    return text, results


def time_loss(options, programs, peers):
    ours, peak, theirs = programs("loss"), programs("peak"), peers("loss")
    rows, shares, results = [], [], {}
    for shape in LOSSES:
        repeats = 5 if shape == "256x3000x8" else 10
        peer_cases = ["eager", "shared"] + ([] if options.no_compile else ["compiled"])
        in_turn(options.rounds, [(ours, f"eigen_{shape}", repeats), (ours, f"onednn_{shape}", repeats)] +
                [(theirs, f"{name}_{shape}", repeats) for name in peer_cases] +
                [(ours, f"eigen_products_{shape}", repeats), (ours, f"onednn_products_{shape}", repeats)] +
                [(peak, "float", 1)])
        least = {name: ours.least[f"{name}_{shape}"]
                 for name in ("eigen", "onednn", "eigen_products", "onednn_products")}
        least |= {name: theirs.least.get(f"{name}_{shape}", math.nan) for name in ("eager", "shared", "compiled")}
        b, k, v = shape.split("x")
        flops = 3 * 2 * int(b) * int(k) * int(v) * 128
        least["bound"] = flops * peak.least["float"] / 1e11
        results[shape] = least
        rows.append([f"{b}, {k}, {v}"] +
                    [milliseconds(least[name]) for name in ("eigen", "onednn", "eager", "shared", "compiled")] +
                    [f"**{least['eager'] / least[name]:.1f}**" for name in ("eigen", "onednn")] +
                    [f"{least['eager'] / least['bound']:.1f}"])
        shares.append([f"{b}, {k}, {v}"] +
                      [cell for name in ("eigen", "onednn")
                       for cell in (milliseconds(least[f"{name}_products"]),
                                    f"{least[f'{name}_products'] / least[name]:.0%}")])
    memory = float(subprocess.run([str(options.build / "bench/bench_loss"), "memory"], check=True, text=True,
                                  capture_output=True, env=dict(os.environ, OMP_NUM_THREADS=str(options.threads)))
                   .stdout.split()[1])
    results["memory_megabytes"] = memory
    text = ("PyTorch as the SwAV release writes it (a log-softmax for each pair of views), with a log-softmax a view, and "
            "that through torch.compile.\n\n" +
            table(["B, K, views", "Eigen ms", "oneDNN ms", "PyTorch ms", "one log-softmax a view ms",
                   "torch.compile ms", "PyTorch / Eigen", "PyTorch / oneDNN", "PyTorch / bound"], rows) +
            f"\nThe bound: three products of V B x K x D at the cores' peak of {100 / peak.least['float']:.0f} GFLOP/s in "
            "float (multiply-adds between registers on all threads, measured in turn), and nothing else."
            "\n\nThe three products a loss with gradients cannot do without (Z C^T, P C, P^T Z over all views), alone, and "
            "their share of the loss's time:\n\n" +
            table(["B, K, views", "Eigen's products ms", "share", "oneDNN's products ms", "share"], shares) +
            f"\nPeak memory above the inputs at B 4096, K 3000, D 128, 8 views, float: {memory:.0f} MB "
            "(the logits of all views would take 393 MB).\n")
    return text, results


STEPS = {
    "quickstart": "quickstart, whole step: crops, network, codes, loss, SGD; 128 images",
    "quickstart_network": "quickstart's network, forward and backward",
    "resnet18": "ResNet-18, 128 x 3 x 32 x 32, with SGD",
    "resnet50": "ResNet-50, 16 x 3 x 224 x 224, with SGD",
}


def flops(case):
    """Of a step's convolutions and products, as PyTorch counts them."""
    return float(subprocess.run([sys.executable, ROOT / "bench/peers/steps.py", "flops", case], check=True, text=True,
                                capture_output=True).stdout)


def time_steps(options, programs, peers):
    whole, networks, peak, theirs = programs("training_step"), programs("resnet_step"), programs("peak"), peers("steps")
    rows, results = [], {}
    for case, what in STEPS.items():
        repeats = 10 if case.startswith("quickstart") else 2
        ours = whole if case == "quickstart" else networks
        in_turn(options.rounds, [(ours, case, repeats), (theirs, case, repeats), (peak, "bf16", 1)])
        t, peer, work = ours.least[case], theirs.least[case], flops(case)
        bound = work * peak.least["bf16"] / 1e11
        rows.append([what, milliseconds(t), milliseconds(peer), f"**{t / peer:.2f}**", f"{work / 1e9:.0f}",
                     f"{bound / t:.0%}"])
        results[case] = dict(seconds=t, eager=peer, flops=work, bound=bound)
    results["bf16_peak_flops"] = 1e11 / peak.least["bf16"]
    text = (table(["step", "ms", "PyTorch ms (channels_last, bf16 autocast)", "ours / PyTorch", "GFLOP",
                   "of the cores' peak"], rows) +
            f"\nThe cores' peak: {0.1 / peak.least['bf16']:.2f} TFLOP/s of bfloat16 dot products between registers "
            "on all threads, measured in turn with the steps.\n")
    return text, results


def cpu_name():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.machine()


def finite(value):
    """JSON has no NaN and no infinity."""
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write(options, name, text, results):
    """Puts a part's table and figures in the place of its last ones."""
    part = PARTS[name]
    versions = ", ".join(f"{what} {importlib.metadata.version(package).split('+')[0]}"
                         for what, package in part.peers.items())
    machine = dict(cpu=cpu_name(), threads=options.threads, peers=versions, rounds=options.rounds,
                   date=datetime.date.today().isoformat(), load=round(os.getloadavg()[2], 1))
    stored = RESULTS / "cpu.json"
    everything = json.loads(stored.read_text()) if stored.exists() else {}
    everything[name] = dict(machine=machine, **results)
    stored.write_text(json.dumps(finite(everything), indent=1) + "\n")

    begin, end = (f"<!-- bench/run_cpu.py --only {name}: {edge} -->" for edge in ("begin", "end"))
    facts = [machine["cpu"], f"{machine['threads']} threads", versions, machine["date"],
             f"load average {machine['load']}", f"{machine['rounds']} rounds"]
    sizes = f" --points {options.points}" if name == "transport" else ""
    head = f"`bash bench/run.sh --only {name}{sizes}`: {', '.join(fact for fact in facts if fact)}."
    page = ROOT / "docs/results.md"
    before, found, rest = page.read_text().partition(begin)
    after = rest.partition(end)[2] if found else "\n"
    page.write_text(f"{before if found else before + chr(10)}{begin}\n### {part.title}\n\n{head}\n\n{text}{end}{after}")


@dataclasses.dataclass
class Part:
    title: str
    measure: typing.Callable  # (options, programs, peers) -> Markdown, figures
    peers: dict[str, str]  # names and their packages


PYTORCH = {"PyTorch": "torch"}
SOLVERS = {"POT": "pot", "OTT-JAX": "ott-jax", "JAX": "jax"}
PARTS = {
    "codes": Part("Codes, 3 iterations, float", time_codes, PYTORCH),
    "loss": Part("Swapped-prediction loss: value and both gradients, codes included, D 128, float", time_loss, PYTORCH),
    "steps": Part("Training steps, bf16", time_steps, PYTORCH),
    "transport": Part("Optimal transport to an L1 marginal error of 1e-6, double", transport_parts.time_solve, SOLVERS),
    "batch": Part("Batches of optimal transport, float", transport_parts.time_batch, SOLVERS),
    "crops": Part("Multi-crop views of photographs", crops_parts.time_crops, {}),
    "points": Part("Optimal transport of points, costs not stored, double", transport_parts.time_points, {}),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", default=",".join(PARTS), help="of " + ", ".join(PARTS))
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--points", default="1000,4000,10000", help="points a side in the part transport")
    parser.add_argument("--limit", type=float, default=150, help="seconds after which a peer's case is given up")
    parser.add_argument("--dry", action="store_true", help="print the tables, write nothing")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    options.results = RESULTS
    running = []

    def start(command, limit=None):
        running.append(Program(command, options.threads, limit))
        return running[-1]

    def programs(name, *arguments):
        return start([options.build / f"bench/bench_{name}", *arguments])

    def peers(name, *arguments, python=sys.executable):
        return start([python, ROOT / f"bench/peers/{name}.py", *arguments], options.limit)

    for name in options.only.split(","):
        text, results = PARTS[name].measure(options, programs, peers)
        print(text, flush=True)
        if not options.dry:
            write(options, name, text, results)
        while running:
            running.pop().close()


if __name__ == "__main__":
    main()
