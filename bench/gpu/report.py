"""What the timings on a GPU share: a line of JSON from one of our programs, and a file that is written anew after every
figure, so that a run which is cut short loses none. In: commands and figures. Out: docs/results/gpu-<kind><name>.json."""

import json
import pathlib
import re
import subprocess


class Report:
    def __init__(self, results, kind, device, cases, **facts):
        """`cases` are dicts, to which figures are added."""
        self.path = pathlib.Path(results) / f'gpu-{kind}{re.sub("[^a-z0-9]+", "-", device.lower())}.json'
        self.report = {"device": device, **facts, "cases": cases}

    def add(self, row, whose, figures):
        row[whose] = figures
        self.path.write_text(json.dumps(self.report, indent=1) + "\n")
        name = " ".join(str(value) for key, value in row.items() if key in ("case", "images"))
        milliseconds = f'{figures["median_ms"]:.4f} ms' if "median_ms" in figures else figures["failed"]
        print(f"{name}, {whose}: {milliseconds}", flush=True)


def ours(*command, most_seconds=120):
    """What the program prints, or how it failed; one that hangs is not to take the time that the others need."""
    try:
        out = subprocess.run(command, capture_output=True, text=True, timeout=most_seconds)
    except subprocess.TimeoutExpired:
        return {"failed": f"stopped after {most_seconds} s"}
    return json.loads(out.stdout) if out.returncode == 0 else {"failed": out.stderr.strip() or f"status {out.returncode}"}
