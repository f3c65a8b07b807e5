"""How a timed peer talks to bench/run_cpu.py: the same as bench/line_protocol.hpp.

In: lines "case repeats" on standard input. Out: a line "case seconds" for each, the least of the repeats, and a count
where the case returns an int. The first time of a case warms up first, unless it is to run once. A case that cannot run
here answers "case nan" and says why on standard error. NumPy and PyTorch heed OMP_NUM_THREADS themselves.
"""
import sys
import time


def serve(cases):
    """cases: dict of name to a function without arguments that makes the data and returns what is timed."""
    prepared, work = None, None
    for line in sys.stdin:
        name, repeats = line.split()
        least, count = float("inf"), None
        try:
            if name != prepared:
                prepared, work = None, None
                work = cases[name]()
                prepared = name
                for _ in range(3 if int(repeats) > 1 else 0):
                    work()
            for _ in range(int(repeats)):
                start = time.perf_counter()
                count = work()
                least = min(least, time.perf_counter() - start)
        except Exception as error:
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
            prepared, least = None, float("nan")
        print(name, least, *([count] if isinstance(count, int) else []), flush=True)
