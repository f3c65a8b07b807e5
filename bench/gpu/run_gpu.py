"""Times the library's components on a GPU beside PyTorch's and torchvision's, eager and compiled, in one run. In: the
built bench_gpu. Out: docs/results/gpu-<name>.json and its table on the standard output. Medians of 100 repetitions over
four sets of inputs in turn after half a second of others, captured in CUDA graphs on both sides but for eager PyTorch,
crops and k-NN; of calls that take long, as many as five seconds have, 10 at least. Memory is what a call needs beyond
its inputs, on both sides with its results and what it keeps for the next call (LARC's momenta), without cuBLAS's
workspace; of k-NN the peers' alone."""

import gc
import sys
import time

import torch

from report import Report, ours

EPSILON, TEMPERATURE, ITERATIONS, SETS, REPETITIONS = 0.05, 0.1, 3, 4, 100
WARM_UP_SECONDS, MOST_SECONDS, LEAST_REPETITIONS = 0.5, 5, 10
BYTES = {"float": 4, "bfloat16": 2}
CASES = [
    "codes 4096 3000 float", "codes 4096 3000 bfloat16", "codes 32768 3000 float", "codes 32768 3000 bfloat16",
    "loss 8 1024 3000 128 float", "loss 8 1024 3000 128 bfloat16", "loss 8 4096 3000 128 bfloat16",
    "loss 8 4096 65536 128 bfloat16", "larc float", "larc bfloat16", "crops 64 float", "crops 64 bfloat16",
    "knn 10000 200000 2048 float",
]


def release_codes(scores):
    """As the SwAV release computes them, in place."""
    q = torch.exp(scores / EPSILON).t()
    prototypes, samples = q.shape
    q /= q.sum()
    for _ in range(ITERATIONS):
        q /= q.sum(dim=1, keepdim=True)
        q /= prototypes
        q /= q.sum(dim=0, keepdim=True)
        q /= samples
    q *= samples
    return q.t()


def functional_codes(scores):
    """The same for the compiler, which fuses what is not written to memory."""
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
            q = functional_codes(scores[i * samples:(i + 1) * samples].float()).to(z.dtype)
        agreement = ((per_view.sum(0) - per_view[i]) * (q @ unit_c)).sum(dim=1).float() / TEMPERATURE
        loss = loss + (sums.sum(0) - sums[i] - agreement).mean() / (views - 1)
    return loss / 2


def with_gradients(function):
    def step(z, c, views):
        z.grad = c.grad = None
        loss = function(z, c, views)
        loss.backward()
        return loss
    return step


def resnet_tensors():
    """ResNet-50 with SwAV's projection head, as bench_gpu has it."""
    sizes, inputs = [], 64
    def add(inputs, outputs, area):
        sizes.extend([inputs * outputs * area, outputs, outputs])
    add(3, 64, 49)
    for stage, blocks in enumerate((3, 4, 6, 3)):
        width = 64 << stage
        for block in range(blocks):
            add(inputs, width, 1), add(width, width, 9), add(width, 4 * width, 1)
            if block == 0:
                add(inputs, 4 * width, 1)
            inputs = 4 * width
    add(2048, 2048, 1)
    return sizes + [2048 * 128]


def release_larc(optimizer, trust=0.001, decay=1e-6, rate=0.1):
    """As apex's LARC, which the release uses, with its SGD; gradients in float, as it has them."""
    for group in optimizer.param_groups:
        for p in group["params"]:
            value, gradient = p.data.norm(), p.grad.data.norm()
            if value != 0 and gradient != 0:
                p.grad.data += decay * p.data
                p.grad.data *= trust * value / (gradient + value * decay + 1e-8)
    optimizer.step()


def grouped_larc(values, gradients, momenta, trust=0.001, decay=1e-6, rate=0.1):
    """The same by PyTorch's operations on lists of tensors, without a wait."""
    of_values, of_gradients = torch._foreach_norm(values), torch._foreach_norm(gradients)
    scales = [trust * v / (g + decay * v + 1e-8) for v, g in zip(of_values, of_gradients)]
    decayed = torch._foreach_mul(torch._foreach_add(gradients, values, alpha=decay), scales)
    torch._foreach_mul_(momenta, 0.9)
    torch._foreach_add_(momenta, decayed)
    torch._foreach_add_(values, momenta, alpha=-rate)


def larc_calls(compiled):
    values = [torch.full((size,), 0.02, device="cuda").requires_grad_() for size in resnet_tensors()]
    for value in values:
        value.grad = torch.full_like(value, 1e-4)
    if not compiled:
        optimizer = torch.optim.SGD(values, lr=0.1, momentum=0.9)
        return [lambda: release_larc(optimizer)]
    plain, gradients, momenta = [v.detach() for v in values], [v.grad for v in values], []
    step = torch.compile(grouped_larc, dynamic=False)
    def update():
        if not momenta:  # in the first step, as PyTorch's SGD
            momenta.extend(torch.zeros_like(v) for v in plain)
        step(plain, gradients, momenta)
    return [update]


def crop_calls(count, dtype):
    """torchvision's operations on the GPU, an image and a view at a time, since each has its own parameters."""
    from torchvision.transforms import v2
    images = [torch.randint(0, 256, (3, 400, 500), dtype=torch.uint8, device="cuda") for _ in range(count)]
    def recipe(size, scale):
        return v2.Compose([
            v2.RandomResizedCrop(size, scale=scale, antialias=True), v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True), v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8),
            v2.RandomGrayscale(0.2), v2.RandomApply([v2.GaussianBlur(23, (0.1, 2.0))], p=0.5),
            v2.Normalize([0.485, 0.456, 0.406], [0.228, 0.224, 0.225]), v2.ToDtype(dtype)])
    recipes = [recipe(224, (0.14, 1.0))] * 2 + [recipe(96, (0.05, 0.14))] * 6
    return [lambda: [torch.stack([r(image) for image in images]) for r in recipes]]


def knn_calls(test, train, dimension):
    a = torch.nn.functional.normalize(torch.randn(test, dimension, device="cuda"), dim=1)
    b = torch.nn.functional.normalize(torch.randn(train, dimension, device="cuda"), dim=1)
    labels = torch.arange(train, device="cuda") % 1000
    def predict():
        found = []
        for rows in a.split(1000):
            similarity, places = (rows @ b.t()).topk(20, dim=1)
            votes = torch.zeros(len(rows), 1000, device="cuda")
            votes.scatter_add_(1, labels[places], (similarity / 0.07).exp())
            found.append(votes.argmax(dim=1))
        return torch.cat(found).cpu()
    return [predict]


def needed_mib(call):
    """Of the second call, as the first one compiles, beyond what there was before the first one."""
    torch.ones(1, 1, device="cuda") @ torch.ones(1, 1, device="cuda")  # cuBLAS's workspace
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def timed(calls):
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    times, start = [], time.perf_counter()
    while len(times) < REPETITIONS:
        passed = time.perf_counter() - start - WARM_UP_SECONDS
        if passed > MOST_SECONDS and len(times) >= LEAST_REPETITIONS:
            break
        begin.record()
        for call in calls:
            call()
        end.record()
        end.synchronize()
        if passed >= 0:
            times.append(begin.elapsed_time(end) / len(calls))
    return {"median_ms": sorted(times)[len(times) // 2], "least_ms": min(times)}


def captured(calls):
    """A CUDA graph of each, as ours have. By hand: torch.compile's own copy their inputs at each call, and it captures
    nothing that writes to them. The calls, whose tensors the graphs use, have to stay."""
    graphs, pool = [], torch.cuda.graph_pool_handle()
    for _ in range(3):
        for call in calls:
            call()
    torch.cuda.synchronize()
    for call in calls:
        graphs.append(torch.cuda.CUDAGraph())
        with torch.cuda.graph(graphs[-1], pool=pool, stream=torch.cuda.current_stream()):
            call()
    return [graph.replay for graph in graphs]


def release_memory():
    """What PyTorch keeps of an earlier case: memory, and shapes that it would compile anew with variable sizes."""
    torch._dynamo.reset()
    gc.collect()
    torch.cuda.empty_cache()


def peer(case, compiled):
    release_memory()
    kind, *sizes, scalar = case.split()
    sizes, dtype = [int(size) for size in sizes], getattr(torch, {"float": "float32"}.get(scalar, scalar))
    if compiled and kind in ("crops", "knn"):
        return {"failed": "-"}
    tuned = lambda function: torch.compile(function, mode="max-autotune-no-cudagraphs", dynamic=False)
    try:
        if kind == "larc":
            calls = larc_calls(compiled)
        elif kind == "crops":
            calls = crop_calls(*sizes, dtype)
        elif kind == "knn":
            calls = knn_calls(*sizes)
        elif kind == "codes":
            inputs = [torch.rand(*sizes, device="cuda").sub_(0.5).to(dtype) for _ in range(SETS)]
            function = tuned(functional_codes) if compiled else release_codes
            calls = [lambda x=x: function(x) for x in inputs]
        else:
            views, samples, prototypes, dimension = sizes
            inputs = [torch.randn(views * samples, dimension, device="cuda").to(dtype).requires_grad_()
                      for _ in range(SETS)]
            c = torch.randn(prototypes, dimension, device="cuda").to(dtype).requires_grad_()
            step = with_gradients(tuned(algebra_loss) if compiled else release_loss)
            calls = [lambda z=z: step(z, c, views) for z in inputs]
        with torch.cuda.stream(torch.cuda.Stream()):  # graphs want another than the default one
            memory = needed_mib(calls[0])
            figures = timed(captured(calls) if compiled else calls)
        return figures | {"workspace_mib": memory}
    except torch.OutOfMemoryError:
        return {"failed": "out of memory"}
    except Exception as error:  # of its compiler: the other figures stand
        print(f"{case}: {error}", file=sys.stderr)
        return {"failed": type(error).__name__}


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
    rows = [{"case": case, "bound_ms": bound_ms(case, rate)} for case in CASES]
    report = Report(results, "", name, rows, torch=torch.__version__, cuda=torch.version.cuda, copy_bytes_per_s=rate)
    print(f"{name}, PyTorch {torch.__version__}, a copy moves {rate / 1e12:.2f} TB/s\n")
    release_memory()
    for row in rows:
        report.add(row, "swav", ours(binary, *row["case"].split()))
    for whose, compiled in (("eager", False), ("compiled", True)):  # the compiler takes the longest
        known = {}
        for row in rows:
            case = row["case"].replace("larc bfloat16", "larc float")  # the peers' gradients are floats in both
            known[case] = known.get(case) or peer(case, compiled)
            report.add(row, whose, known[case])
    print("\n| case | ms | of the bound | PyTorch eager | torch.compile | MiB: ours, eager, compiled |\n|---|---|---|---|---|---|")
    for row in rows:
        ms = row["swav"].get("median_ms")
        ratio = lambda p: p["failed"] if "failed" in p else f'{p["median_ms"] / ms:.1f} x' if ms else "-"
        memory = lambda of: f'{of["workspace_mib"]:.0f}' if "workspace_mib" in of else "-"
        share = f'{100 * row["bound_ms"] / ms:.0f} %' if ms and row["bound_ms"] else ""
        print(f'| {row["case"]} | {row["swav"].get("failed") or f"{ms:.4f}"} | {share} | {ratio(row["eager"])} | '
              f'{ratio(row["compiled"])} | {memory(row["swav"])}, {memory(row["eager"])}, {memory(row["compiled"])} |')
    print(f"\nwritten: {report.path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
