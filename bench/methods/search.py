r"""Search a few settings of each method on samples held out of the TRAINING data; the presets `best` are based on it.

    bench/methods/search.py OUTDIR --altmin build/release/src/altmin \
        --features build/release/bench/citation/citation_features

Every try is preset best with some settings replaced, trained without the held-out samples and judged by their accuracy (R2
for values) at the last sweep. Leaves search.json and search.md, best first. The benchmark's test samples play no part:
datasets.py puts the held-out ones in their place (digits, which are embedded, hold a validation part out).
"""

import argparse
import itertools
import json
import os
import random
import statistics
import sys
import tempfile

import datasets
import harness
from methods import number, sizes

# What is searched. A ridge counts against rho x samples x mean square of the inputs, so it scales with the samples where these
# are many. A kind that is not named takes "images"; a method that is not named is tried as its preset best is.
SPLITTING = {"mu-per-sample": ("1e-3", "3e-3", "1e-2"), "loss-weight": ("10", "100", "1000"), "relift": ("10", "20")}
RELAXED = {"step": ("cauchy", "exact"), "rho": ("1e-3", "1e-2"), "mu-per-sample": ("1e-6", "3e-6", "1e-5"),
           "eps-start": ("1", "100"), "eps-floor": ("1e-2", "1e-1"), "eps-restart": ("0", "20"), "relift": ("0", "20")}
RELAXED_GRAPH = {"step": ("cauchy", "exact"), "rho": ("3e-4", "1e-3", "5e-3"), "mu": ("0.01", "0.05", "0.2"),
                 "mu-per-sample": ("0",), "eps-floor": ("1e-2", "1e-1"), "eps-restart": ("0", "20"), "relift": ("0", "20")}
RELAXED_TABLE = {"step": ("cauchy", "exact"), "rho": ("1",), "loss-weight": ("1", "10", "100"),
                 "mu-per-sample": ("3e-3", "3e-2", "1e-1", "3e-1"), "eps-floor": ("1e-2", "1e-1"),
                 "eps-restart": ("0", "20"), "relift": ("0", "20")}
SPLITTING_GRAPH = {"mu": ("0.1", "1", "10"), "mu-per-sample": ("0",), "loss-weight": ("10", "100", "1000"),
                   "relift": ("0", "10", "20")}
SPLITTING_TABLE = {"mu-per-sample": ("3e-3", "3e-2", "1e-1", "3e-1"), "loss-weight": ("1", "10", "100"),
                   "relift": ("0", "10", "20")}
GRIDS = {
    ("mdlam", "images"): RELAXED, ("mdlam", "graph"): RELAXED_GRAPH, ("mdlam", "table"): RELAXED_TABLE,
    ("tiam", "images"): RELAXED, ("tiam", "graph"): RELAXED_GRAPH, ("tiam", "table"): RELAXED_TABLE,
    ("bcd", "images"): {**SPLITTING, "gamma": ("0.5", "1", "3"), "prox-w": ("0", "300")},
    ("bcd", "graph"): SPLITTING_GRAPH, ("bcd", "table"): SPLITTING_TABLE,
    ("dladmm", "images"): {**SPLITTING, "nu": ("0.5", "1", "3"), "prox-w": ("0", "300")},
    ("dladmm", "graph"): SPLITTING_GRAPH, ("dladmm", "table"): SPLITTING_TABLE,
    ("sgd", "images"): {"rate": ("0.02", "0.05", "0.15", "0.3"), "batch": ("50", "100", "250")},
    ("adam", "images"): {"rate": ("1e-3", "3e-3", "5e-3"), "batch": ("50", "125", "250")},
    ("sgd", "graph"): {"rate": ("1e-3", "5e-3", "0.02", "0.1"), "mu": ("0", "0.1", "1")},
    ("adam", "graph"): {"rate": ("3e-4", "1e-3", "3e-3"), "mu": ("0", "0.1", "1")},
    ("sgd", "table"): {"rate": ("5e-3", "0.02", "0.05"), "batch": ("32", "100"), "mu": ("0", "1", "10")},
    ("adam", "table"): {"rate": ("1e-3", "3e-3", "1e-2"), "batch": ("32", "100", "250"), "mu": ("0", "1", "10")},
}


def options(argv):
    parser = argparse.ArgumentParser(prog="search.py", allow_abbrev=False, description="Search settings of each method on "
                                     "held-out training samples.")
    parser.add_argument("outdir", metavar="OUTDIR", help="where search.md and search.json go; made if it is not there")
    datasets.add_options(parser)
    parser.add_argument("--tries", type=harness.positive, default=16, metavar="N",
                        help="combinations tried per method and data set, drawn from the grid [default 16]")
    parser.add_argument("--seeds", type=harness.positive, default=1, metavar="N", help="train with seeds 1..N [default 1]")
    parser.add_argument("--sweeps", type=harness.positive, metavar="N", help="sweeps or passes [default: those of the benchmark]")
    parser.add_argument("--threads", default="0", metavar="N", help="[default 0: all cores]")
    parser.add_argument("--altmin", metavar="PATH", required=True, help="altmin command to run")
    parser.add_argument("--features", metavar="PATH", help="citation_features command, for the graphs")
    args = parser.parse_args(argv)
    args.quick = False
    datasets.complete(args)
    return args


def combinations(grid):
    """Every combination of the grid's values as a dictionary."""
    return (dict(zip(grid, values)) for values in itertools.product(*grid.values()))


def tries(args, method, kind):
    """Preset best itself, then combinations drawn without repetition, the same ones in every search."""
    grid = GRIDS.get((method, kind)) or GRIDS.get((method, "images"))
    if not grid:
        return [{}]
    found = list(combinations(grid))
    random.Random(1).shuffle(found)
    return [{}, *found[:args.tries - 1]]


def one_try(args, dataset, data, method, changed, folder):
    given = [text for name, value in changed.items() for text in (f"--{name}", value)]
    n_sweeps = args.sweeps or sizes(args, dataset, method)
    held, record = [], {"dataset": dataset.name, "kind": dataset.kind, "method": method, "changed": changed}
    for seed in range(1, args.seeds + 1):
        command = [*data, "--method", method, "--preset", "best", *given, "--seed", str(seed), "--threads", args.threads,
                   "--sweeps", str(n_sweeps), "--eval-every", str(n_sweeps)]
        try:
            header, sweeps, result = harness.train(args.altmin, folder, command)
        except harness.Refused as refused:
            return {**record, "refused": str(refused)}
        # a set that is embedded holds its validation part out; others name the held-out samples as their test part
        part = "valid" if header["data"]["n_valid"] else "test"
        held.append(None if result["stop"] == "not-finite" else sweeps[-1].get(f"{part}_{dataset.measure}"))
        record["n_train"] = header["data"]["n_train"]
        record["n_held"] = header["data"]["n_valid"] or header["test"]["n_test"]
    finite = [h for h in held if h is not None]
    return {**record, "sweeps": n_sweeps, "held": held,
            "mean": statistics.fmean(finite) if len(finite) == len(held) else None}


def order(run):
    return -run["mean"] if run.get("mean") is not None else float("inf")


def page(runs):
    lines = ["# Settings on held-out training samples", "", "Changes to preset best (none: the preset as it was), best first.", ""]
    for key in dict.fromkeys((r["dataset"], r["method"]) for r in runs):
        of_key = sorted((r for r in runs if (r["dataset"], r["method"]) == key), key=order)
        lines += [f"### {key[1]} on {key[0]}", "", "| held-out | changes |", "|---|---|"]
        for r in of_key:
            changes = " ".join(f"--{k} {v}" for k, v in r["changed"].items()) or "none"
            lines.append(f"| {number(r.get('mean'), 4) if 'refused' not in r else 'refused'} | {changes} |")
        lines.append("")
    return "\n".join(lines)


def write(args, runs):
    os.makedirs(args.outdir, exist_ok=True)
    with open(os.path.join(args.outdir, "search.json"), "w", encoding="utf-8") as file:
        json.dump({"runs": runs}, file)
        file.write("\n")
    with open(os.path.join(args.outdir, "search.md"), "w", encoding="utf-8") as file:
        file.write(page(runs))


def main():
    args = options(sys.argv[1:])
    methods = args.methods.split(",") if args.methods else harness.method_names(args.altmin)
    runs = []
    for dataset in args.sets:
        reason = dataset.missing(args)
        if reason:
            print(f"{dataset.name}: skipped: {reason}", flush=True)
            continue
        with tempfile.TemporaryDirectory(prefix="altmin-search-") as folder:
            data = dataset.prepare(args, folder, held=True)
            for method in methods:
                for changed in tries(args, method, dataset.kind):
                    runs.append(one_try(args, dataset, data, method, changed, folder))
                    print(json.dumps(runs[-1]), flush=True)
                write(args, runs)


if __name__ == "__main__":
    main()
