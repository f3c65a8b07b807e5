"""Times the library's codes and loss on a GPU beside PyTorch's, eager and compiled, in one run. In: the built bench_gpu.
Out: docs/results/gpu-<name>.json and its table on the standard output. Medians of 100 repetitions over four sets of inputs
in turn, captured in CUDA graphs on both sides but for eager PyTorch."""

import json
import pathlib
import re
import subprocess
import sys

import torch

EPSILON, TEMPERATURE, ITERATIONS, SETS, WARM_UP, REPETITIONS = 0.05, 0.1, 3, 4, 10, 100
BYTES = {"float": 4, "bfloat16": 2}
CASES = [
    "codes 4096 3000 float", "codes 4096 3000 bfloat16", "codes 32768 3000 float", "codes 32768 3000 bfloat16",
    "loss 8 1024 3000 128 float", "loss 8 1024 3000 128 bfloat16", "loss 8 4096 3000 128 bfloat16",
    "loss 8 4096 65536 128 bfloat16",
]


def release_codes(scores):
    """As the SwAV release computes them."""
    q = torch.exp(scores / EPSILON).t()
    prototypes, samples = q.shape
    q = q / q.sum()
    for _ in range(ITERATIONS):
        q = q / q.sum(dim=1, keepdim=True) / prototypes
        q = q / q.sum(dim=0, keepdim=True) / samples
    return (q * samples).t()


def release_loss(z, c, views):
    """As the SwAV release writes it: scores of all views, a log-softmax a pair of views."""
    samples = z.shape[0] // views
    scores = torch.nn.functional.normalize(z, dim=1) @ torch.nn.functional.normalize(c, dim=1).t()
    loss = 0
    for i in (0, 1):
        with torch.no_grad():
            q = release_codes(scores[i * samples:(i + 1) * samples].float())
        pairs = 0
        for v in range(views):
            if v != i:
                x = scores[v * samples:(v + 1) * samples] / TEMPERATURE
                pairs = pairs - (q * torch.log_softmax(x, dim=1)).sum(dim=1).mean()
        loss = loss + pairs / (views - 1)
    return loss / 2


def algebra_loss(z, c, views):
    """With what makes the library's loss cheap: one log-sum-exp a row, and codes by their products with the prototypes."""
    samples, unit_c = z.shape[0] // views, torch.nn.functional.normalize(c, dim=1)
    unit_z = torch.nn.functional.normalize(z, dim=1)
    scores = unit_z @ unit_c.t()
    sums = torch.logsumexp(scores.float() / TEMPERATURE, dim=1).view(views, samples)
    per_view = unit_z.view(views, samples, -1)
    loss = 0
    for i in (0, 1):
        with torch.no_grad():
            q = release_codes(scores[i * samples:(i + 1) * samples].float()).to(z.dtype)
        others = [v for v in range(views) if v != i]
        target = q @ unit_c
        agreement = (per_view[others].sum(0) * target).sum(dim=1).float() / TEMPERATURE
        loss = loss + (sums[others].sum(0) - agreement).mean() / (views - 1)
    return loss / 2


def with_gradients(function):
    def step(z, c, views):
        z.grad = c.grad = None
        loss = function(z, c, views)
        loss.backward()
        return loss
    return step


def timed(calls):
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    times = []
    for repetition in range(WARM_UP + REPETITIONS):
        begin.record()
        for call in calls:
            call()
        end.record()
        end.synchronize()
        if repetition >= WARM_UP:
            times.append(begin.elapsed_time(end) / len(calls))
    return {"median_ms": sorted(times)[len(times) // 2], "least_ms": min(times)}


def peer(case, compiled):
    kind, *sizes, scalar = case.split()
    sizes, dtype = [int(size) for size in sizes], getattr(torch, {"float": "float32"}.get(scalar, scalar))
    torch.cuda.empty_cache()
    try:
        if kind == "codes":
            inputs = [torch.rand(*sizes, device="cuda").sub_(0.5).to(dtype) for _ in range(SETS)]
            function = torch.compile(release_codes, mode="max-autotune") if compiled else release_codes
            calls = [lambda x=x: function(x) for x in inputs]
        else:
            views, samples, prototypes, dimension = sizes
            inputs = [torch.randn(views * samples, dimension, device="cuda").to(dtype).requires_grad_()
                      for _ in range(SETS)]
            c = torch.randn(prototypes, dimension, device="cuda").to(dtype).requires_grad_()
            step = with_gradients(torch.compile(algebra_loss, mode="max-autotune") if compiled else release_loss)
            calls = [lambda z=z: step(z, c, views) for z in inputs]
        calls[0]()
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        calls[0]()
        torch.cuda.synchronize()
        peak = (torch.cuda.max_memory_allocated() - before) / 2**20
        return timed(calls) | {"workspace_mib": peak}
    except torch.OutOfMemoryError:
        return {"error": "out of memory"}


def bound_ms(case, copy_rate):
    """T + 1 reads and a write of the scores at the rate of a copy; None where that is no bound."""
    kind, *sizes, scalar = case.split()
    if kind != "codes":
        return None
    return int(sizes[0]) * int(sizes[1]) * BYTES[scalar] * (ITERATIONS + 2) / copy_rate * 1e3


def copy_rate():
    """Bytes a second, read and written, of a copy too large for the cache."""
    a = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    b = torch.empty_like(a)
    return 2 * a.numel() / (timed([lambda: b.copy_(a)])["median_ms"] / 1e3)


def main(binary, results):
    name = torch.cuda.get_device_name()
    rate = copy_rate()
    report = {"device": name, "torch": torch.__version__, "cuda": torch.version.cuda, "copy_bytes_per_s": rate,
              "cases": []}
    print(f"{name}, PyTorch {torch.__version__}, a copy moves {rate / 1e12:.2f} TB/s\n")
    print("| case | ms | of the bound | PyTorch eager | torch.compile | MiB, eager's |\n|---|---|---|---|---|---|")
    for case in CASES:
        out = subprocess.run([binary, *case.split()], capture_output=True, text=True)
        ours = json.loads(out.stdout) if out.returncode == 0 else {"error": out.stderr.strip()}
        row = {"case": case, "swav": ours, "eager": peer(case, False), "compiled": peer(case, True),
               "bound_ms": bound_ms(case, rate)}
        report["cases"].append(row)
        ms = ours.get("median_ms")
        ratio = lambda p: p["error"] if "error" in p else f'{p["median_ms"] / ms:.1f} x' if ms else "-"
        share = f'{100 * row["bound_ms"] / ms:.0f} %' if ms and row["bound_ms"] else ""
        print(f'| {case} | {ours.get("error") or f"{ms:.4f}"} | {share} | {ratio(row["eager"])} | '
              f'{ratio(row["compiled"])} | {ours.get("workspace_mib", 0):.0f}, '
              f'{row["eager"].get("workspace_mib", float("nan")):.0f} |', flush=True)
    path = pathlib.Path(results) / f'gpu-{re.sub("[^a-z0-9]+", "-", name.lower())}.json'
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\nwritten: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
