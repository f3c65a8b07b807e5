"""How a timed peer talks to bench/run_cpu.py: the same as bench/line_protocol.hpp.

In: lines "case repeats" on standard input. Out: a line "case seconds" for each, the least of the repeats; the first
time of a case warms up first. A case that cannot run here answers "case nan" and says why on standard error.
"""
import os
import sys
import time

import torch

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def serve(cases):
    """cases: dict of name to a function without arguments that makes the data and returns what is timed."""
    prepared, work = None, None
    for line in sys.stdin:
        name, repeats = line.split()
        least = float("inf")
        try:
            if name != prepared:
                work = cases[name]()
                prepared = name
                for _ in range(3):
                    work()
            for _ in range(int(repeats)):
                start = time.perf_counter()
                work()
                least = min(least, time.perf_counter() - start)
        except Exception as error:
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
            prepared, least = None, float("nan")
        print(name, least, flush=True)
