"""Trains the paper's ablations on Fashion-MNIST and writes them down: multi-crop against two views, codes with Sinkhorn
against codes without, batches of 32 with and without a queue (Caron et al. 2020, sections 4.3 and 5 and appendix).

    python bench/ablations.py SWAV_TRAIN RUNS [--seeds N] [--threads N] [--only NAME,...] [--print]

Each run goes to its own folder below RUNS; one that is there with its end is not trained again. Out: the section of
docs/results.md between its marks, of the runs that are there; --print: to the terminal alone. A row is one command, which
the table quotes.
"""
import argparse
import json
import pathlib
import statistics
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
EPOCHS = 2
LARGE_BATCH = []
SMALL_BATCH = ["--batch-size", "32", "--lr", "0.075", "--freeze-prototypes", "200"]
ROWS = {  # name: what the row says, options over the preset
    "multi-crop": ("SwAV: 2 large and 2 small crops", []),
    "two-views": ("2 large crops alone, as many epochs", ["--small-crops", "0"]),
    "two-views-longer": ("2 large crops alone, as many pixels", ["--small-crops", "0", "--epochs", str(EPOCHS + 1)]),
    "no-sinkhorn": ("codes without Sinkhorn: softmax(scores / epsilon)", ["--sinkhorn-iterations", "0"]),
    "batch-32": ("batches of 32", SMALL_BATCH),
    "batch-32-queue": ("batches of 32 and a queue", SMALL_BATCH + ["--queue-length", "480"]),
}


def command(options, seed, threads):
    own = [] if "--epochs" in options else ["--epochs", str(EPOCHS)]
    return own + options + ["--threads", str(threads), "--seed", str(seed)]


def records(folder):
    path = folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def finished(folder):
    return any("knn_accuracy" in r for r in records(folder))


def result(folder):
    """k-NN and linear accuracy in %, and means over the last hundred steps of prototypes used and the loss."""
    lines = records(folder)
    evaluation = [r for r in lines if "knn_accuracy" in r][-1]
    steps = [r for r in lines if "loss" in r][-100:]
    return {"knn": 100 * evaluation["knn_accuracy"], "linear": 100 * evaluation["linear_accuracy"],
            "prototypes": statistics.mean(r["prototypes_used"] for r in steps),
            "spread": statistics.mean(r["feature_spread"] for r in steps),
            "loss": statistics.mean(r["loss"] for r in steps)}


def cell(values, digits):
    mean = statistics.mean(values)
    return f"{mean:.{digits}f}" + (f" ({min(values):.{digits}f} to {max(values):.{digits}f})" if len(values) > 1 else "")


def section(runs, seeds, threads):
    lines = ["| row | k-NN % | linear % | prototypes used | spread | loss | `swav-train` with |", "|---|---|---|---|---|---|---|"]
    for name, (text, options) in ROWS.items():
        found = [result(runs / f"{name}-{seed}") for seed in range(seeds) if finished(runs / f"{name}-{seed}")]
        if not found:
            continue
        told = " ".join(command(options, "S", threads))
        count = "" if len(found) == seeds else f", {len(found)} of {seeds} seeds"
        lines.append(f"| {text}{count} | {cell([f['knn'] for f in found], 2)} | {cell([f['linear'] for f in found], 2)} | "
                     f"{cell([f['prototypes'] for f in found], 0)} | {cell([f['spread'] for f in found], 2)} | "
                     f"{cell([f['loss'] for f in found], 2)} | `{told}` |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("swav_train", type=pathlib.Path)
    parser.add_argument("runs", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default=",".join(ROWS))
    parser.add_argument("--print", action="store_true")
    options = parser.parse_args()
    for seed in range(options.seeds):
        for name in options.only.split(","):
            folder = options.runs / f"{name}-{seed}"
            if not finished(folder):
                subprocess.run([str(options.swav_train), *command(ROWS[name][1], seed, options.threads), "--output",
                                str(folder), "--overwrite"], check=True, stdout=subprocess.DEVNULL)
                print(name, seed, result(folder), flush=True)
    text = section(options.runs, options.seeds, options.threads)
    if options.print:
        print(text)
        return
    path = ROOT / "docs/results.md"
    page = path.read_text()
    begin, end = "<!-- bench/ablations.py: begin -->\n", "\n<!-- bench/ablations.py: end -->"
    before, rest = page.split(begin)
    path.write_text(before + begin + text + end + rest.split(end.lstrip("\n"), 1)[1])


if __name__ == "__main__":
    main()
