"""What the parts of bench/run_cpu.py share: programs that are timed in turn, and tables.

In: commands that speak the line protocol (bench/line_protocol.hpp). Out: least times, Markdown.
"""
import math
import os
import subprocess
import time


class Program:
    """A process behind the line protocol: the least time of each of its cases, and the count of those that have one."""

    def __init__(self, command, threads):
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads), PYTHONDONTWRITEBYTECODE="1")
        self.process = subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env=environment)
        self.least, self.count = {}, {}

    def run(self, case, repeats):
        self.process.stdin.write(f"{case} {repeats}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if not answer:
            raise RuntimeError(f"{self.process.args} ended at {case}")
        seconds = float(answer[1])
        # A NaN says that the case cannot run here, and stays.
        self.least[case] = seconds if math.isnan(seconds) else min(seconds, self.least.get(case, math.inf))
        if len(answer) > 2:
            self.count[case] = float(answer[2])

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def in_turn(rounds, pairs, seconds=math.inf):
    """pairs: (program, case, repeats) for one comparison; each round runs all of them once. No round begins after so
    many seconds."""
    end = time.monotonic() + seconds
    for _ in range(rounds):
        for program, case, repeats in pairs:
            if not math.isnan(program.least.get(case, 0.0)):
                program.run(case, repeats)
        if time.monotonic() > end:
            break


def milliseconds(seconds):
    return "-" if math.isnan(seconds) else f"{seconds * 1e3:.2f}" if seconds < 0.1 else f"{seconds * 1e3:.0f}"


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"
