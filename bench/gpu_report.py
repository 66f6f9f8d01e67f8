#!/usr/bin/env python3
"""The two ends of bench/gpu.sh: what the machine is, and what came out beside what was predicted.

gpu_report.py machine --out DIR   writes DIR/machine.json: device, driver, clocks, toolkit, commit
gpu_report.py results --out DIR   reads all that the steps left in DIR, writes results.json and results.csv, prints a table
"""
import argparse
import csv
import datetime
import json
import os
import pathlib
import platform
import re
import subprocess
import sys

GPU_FIELDS = ["name", "driver_version", "memory.total", "clocks.max.sm", "clocks.max.mem", "clocks.sm", "clocks.mem",
              "power.limit", "compute_cap"]


def output_of(*command):
    """Standard output of a command, None when it is not there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def gpu():
    """What nvidia-smi says of the first GPU, field by field; all None where there is none."""
    text = output_of("nvidia-smi", "--query-gpu=" + ",".join(GPU_FIELDS), "--format=csv,noheader") or ""
    values = [value.strip() for value in next(iter(text.splitlines()), "").split(",")]
    if len(values) != len(GPU_FIELDS):
        values = [None] * len(GPU_FIELDS)
    return dict(zip(GPU_FIELDS, values))


def cpu_name():
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.*)$", text, re.M)
    return found.group(1) if found else platform.machine()


def toolkit():
    found = re.search(r"release ([0-9.]+)", output_of(os.environ.get("CUDACXX", "nvcc"), "--version")
                      or output_of("/usr/local/cuda/bin/nvcc", "--version") or "")
    return found.group(1) if found else None


def machine(args):
    """A rehearsal (another backend, or tiny sizes) is marked as one: its figures are judged by nobody."""
    changes = output_of("git", "status", "--porcelain", "--untracked-files=no")
    return {"time": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "commit": output_of("git", "rev-parse", "HEAD"), "changed": None if changes is None else bool(changes),
            "gpu": gpu(), "toolkit": toolkit(), "cpu": cpu_name(), "cores": os.cpu_count(),
            "python": platform.python_version(), "backend": args.backend,
            "rehearsal": bool(args.tiny or args.backend != "cuda")}


# ------------------------------------------------------------------------------------------------------------ figures

def load(out, name):
    try:
        return json.loads((out / name).read_text())
    except (OSError, ValueError):
        return None


def sweep_figures(out):
    """Predicted before any device was seen; see README.md."""
    for name, what, key, bound, unit, scale in (
            ("sweep-3x4096", "sweep of 3 x 4096 on 60,000 over its products", "ratio", 1.2, "times", 1),
            ("sweep-3x1500", "sweep of 3 x 1500 on 60,000", "sweep_s", 25.0, "ms", 1e3),
            ("sweep-cora", "sweep of Cora's size", "sweep_s", 0.4, "ms", 1e3)):
        root = load(out, name + ".json")
        yield what, "<=", bound, root and root[key] * scale, unit, name + ".json"


def elementwise_figures(out):
    for map_name in ("box_z", "a_step", "residual_keep"):
        name = f"ops-elementwise-{map_name}.json"
        root = load(out, name)
        share = root and min((row["gb_per_s"] / root["copy_gb_per_s"] for row in root["cases"]), default=None)
        yield f"{map_name} relu at 1e8 elements over copy", ">=", 0.85, share, "share", name


def rate_figures(out):
    """Rates without a prediction."""
    for name, label in (("ops-gemm-fp32", "product, fp32"), ("ops-gemm-tf32", "product, tf32"),
                        ("ops-gemm-bf16", "product, bf16"), ("ops-gram", "Gram product")):
        root = load(out, name + ".json")
        best = root and max((row["gflops"] for row in root["cases"]), default=None)
        yield f"{label}, best width", "", None, best and best / 1e3, "TFLOP/s", name + ".json"
    root = load(out, "ops.json")
    yield "copy, read and written", "", None, root and root["copy_gb_per_s"], "GB/s", "ops.json"


def agreement_figures(out):
    for row in load(out, "agreement.json") or []:
        if row["judged"]:
            yield (f"{row['name']}: objective against {row['base']}", "<=", row["band"], row["difference"], "relative",
                   "agreement.json")
        else:
            yield f"{row['name']}: objective against {row['base']}", "", None, row["difference"], "relative", "agreement.json"
        yield f"{row['name']}: speed-up", "", None, row["speed_up"], "times", "agreement.json"


def accuracy_figures(out):
    for name in ("accuracy.json", "torch.json"):
        root = load(out, name)
        for run in (root or {}).get("runs", []):
            for target, seconds in run["reached"].items():
                yield f"{run['name']}: to test accuracy {target}", "", None, seconds, "s", name


def verdict(relation, bound, value):
    if value is None:
        return "not measured"
    if not relation:
        return "measured"
    return "held" if (value <= bound if relation == "<=" else value >= bound) else "missed"


COLUMNS = ["figure", "predicted", "measured", "unit", "verdict", "file"]


def figures(out, rehearsal):
    rows = []
    for source in (sweep_figures, elementwise_figures, rate_figures, agreement_figures, accuracy_figures):
        for what, relation, bound, value, unit, name in source(out):
            rows.append({"figure": what, "predicted": f"{relation} {bound:g}" if relation else "", "unit": unit,
                         "measured": value, "file": name,
                         "verdict": "rehearsal" if rehearsal else verdict(relation, bound, value)})
    return rows


def print_table(rows):
    print(f"\n{'figure':58} {'predicted':>10} {'measured':>10} {'unit':8} verdict")
    for row in rows:
        measured = "-" if row["measured"] is None else f"{row['measured']:.4g}"
        print(f"{row['figure']:58} {row['predicted']:>10} {measured:>10} {row['unit']:8} {row['verdict']}")


def results(out):
    with open(out / "steps.csv", newline="") as file:
        steps = list(csv.DictReader(file))
    about = load(out, "machine.json")
    rows = figures(out, about["rehearsal"])
    with open(out / "results.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    root = {"machine": about, "steps": steps, "figures": rows}
    (out / "results.json").write_text(json.dumps(root, indent=1) + "\n")
    print_table(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["machine", "results"])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--backend", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    if args.what == "machine":
        (args.out / "machine.json").write_text(json.dumps(machine(args), indent=1) + "\n")
    else:
        results(args.out)


if __name__ == "__main__":
    sys.exit(main())
