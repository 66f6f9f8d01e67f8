r"""Search settings of fcam and of the streamed methods on samples held out of the TRAINING data, to choose defaults by.

    bench/tta/search.py OUTDIR --altmin build/release/src/altmin --data DIR

The first 50,000 training images train, the last 10,000 judge; the test images play no part. Every try is a method as it is by
default with some settings replaced; a try is one contestant of `altmin bench tta`. Leaves search.json and search.md, best
first by mean accuracy. Small by default: --tries, --seeds and --passes make it thorough.
"""

import argparse
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "methods"))
import datasets
import harness

N_TRAIN = 50000

SHELL = {"lam": ("3", "10", "30"), "kappa": ("0.5", "1", "2"), "momentum": ("0.7", "0.9")}
INERTIAL = {"lam": ("3", "10", "30"), "kappa": ("0.5", "1", "2"), "batch": ("250", "500"), "boost": ("3", "10", "0"),
            "box": ("0.3", "1"), "eta": ("0.5", "1", "2")}
SPLIT = {**SHELL, "batch": ("250", "500"), "boost": ("3", "10", "0"), "eta": ("15", "30", "60")}
GRIDS = {
    "fcam": {**SHELL, "eta": ("8", "12", "15", "20", "30"), "batch": ("125", "250", "500"), "gam": ("1", "10", "inf"),
             "thin": ("0", "0.3"), "whiten": ("0.95", "0.97", "0.99")},
    "mdlam": INERTIAL, "tiam": INERTIAL, "bcd": SPLIT, "dladmm": SPLIT,
    "adam": {"rate": ("3e-3", "5e-3", "8e-3", "1.2e-2"), "batch": ("125", "250"), "whiten": ("0", "0.97")},
    "sgd": {"rate": ("0.05", "0.1", "0.15", "0.3"), "batch": ("100", "250"), "whiten": ("0", "0.97")},
}
STREAMED = ("mdlam", "tiam", "bcd", "dladmm")


def options(argv):
    parser = argparse.ArgumentParser(prog="search.py", allow_abbrev=False,
                                     description="Search settings of fcam and streamed methods on held-out training samples.")
    parser.add_argument("outdir", metavar="OUTDIR", help="where search.md and search.json go; made if it is not there")
    datasets.add_options(parser)
    parser.add_argument("--tries", type=harness.positive, default=6, metavar="N",
                        help="combinations tried per method, drawn from its grid, the defaults among them [default 6]")
    parser.add_argument("--seeds", type=harness.positive, default=1, metavar="N", help="train with seeds 1..N [default 1]")
    parser.add_argument("--passes", default="1", metavar="LIST", help="lengths of runs [default 1]")
    parser.add_argument("--hidden", default="300,300", metavar="LIST", help="hidden layers [default %(default)s]")
    parser.add_argument("--threads", default="0", metavar="N", help="[default 0: all cores]")
    parser.add_argument("--altmin", metavar="PATH", required=True, help="altmin command to run")
    args = parser.parse_args(argv)
    args.only = args.only or "mnist"
    datasets.complete(args)
    other = [s.name for s in args.sets if not isinstance(s, datasets.Images)]
    if other:
        harness.fail(f"'{other[0]}' is not a set of images", 2)
    args.methods = args.methods.split(",") if args.methods else list(GRIDS)
    unknown = [m for m in args.methods if m not in GRIDS]
    if unknown:
        harness.fail(f"nothing to search for method '{unknown[0]}'; there are {', '.join(GRIDS)}", 2)
    return args


def hold_out(dataset, args, folder):
    """The set's training images, the last ones in the place of its test images."""
    for what in ("images-idx3-ubyte", "labels-idx1-ubyte"):
        dims, raw = datasets.read_idx(os.path.join(dataset.folder(args), f"train-{what}"))
        size, cut = len(raw) // dims[0], min(N_TRAIN, dims[0] * 5 // 6)
        for part, first, end in (("train", 0, cut), ("t10k", cut, dims[0])):
            datasets.write_idx(os.path.join(folder, f"{part}-{what}"), (end - first, *dims[1:]), raw[first * size:end * size])


def tries(args, method):
    """Contestants: the method by default, then combinations drawn without repetition, the same ones in every search."""
    grid = GRIDS[method]
    found = [dict(zip(grid, values)) for values in itertools.product(*grid.values())]
    random.Random(1).shuffle(found)
    start = method + (":stream=yes" if method in STREAMED else "")
    return [":".join([start, *(f"{name}={value}" for name, value in changed.items())])
            for changed in [{}, *found[:args.tries - 1]]]


def one_try(args, contestant, folder):
    """Its mean accuracy on the held-out samples for each number of passes, or why altmin refused it."""
    path = os.path.join(folder, "tta.json")
    done = subprocess.run([args.altmin, "bench", "tta", "--data", folder, "--hidden", args.hidden, "--methods", contestant,
                           "--passes", args.passes, "--targets", "1", "--seeds", str(args.seeds), "--threads", args.threads,
                           "--json", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        return {"contestant": contestant, "refused": done.stdout.strip().splitlines()[-1]}
    with open(path, encoding="utf-8") as file:
        said = json.load(file)
    lengths = said["contestants"][0]["lengths"]
    good = [g["accuracy"] for g in lengths]
    return {"contestant": contestant, "n_train": said["n_train"], "n_held": said["n_judged"],
            "held": {format(g["passes"], "g"): g["accuracy"] for g in lengths},
            "seconds": {format(g["passes"], "g"): g["median_s"] for g in lengths},
            "mean": sum(good) / len(good) if None not in good else None}


def order(run):
    return -run["mean"] if run.get("mean") is not None else float("inf")


def page(args, runs):
    passes = args.passes.split(",")
    lines = ["# Settings on held-out training samples", "",
             f"Mean accuracy over seeds 1-{args.seeds} of the held-out training images, 784-{args.hidden.replace(',', '-')}-10; "
             "best first; a contestant without settings is the method by default.", ""]
    for name, method in dict.fromkeys((r["dataset"], r["method"]) for r in runs):
        head = ["contestant", *(f"{p} passes" for p in passes)]
        lines += [f"### {name}, {method}", "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
        for run in sorted((r for r in runs if (r["dataset"], r["method"]) == (name, method)), key=order):
            cells = [f"{v:.4f}" if v is not None else "not finite" for v in run.get("held", {}).values()]
            lines.append("| " + " | ".join([f"`{run['contestant']}`", *(cells or [run["refused"]])]) + " |")
        lines.append("")
    return "\n".join(lines)


def write(args, runs):
    os.makedirs(args.outdir, exist_ok=True)
    with open(os.path.join(args.outdir, "search.json"), "w", encoding="utf-8") as file:
        json.dump({"about": harness.now(), "seeds": args.seeds, "passes": args.passes, "hidden": args.hidden, "runs": runs},
                  file, indent=1)
        file.write("\n")
    with open(os.path.join(args.outdir, "search.md"), "w", encoding="utf-8") as file:
        file.write(page(args, runs))


def main():
    args, runs = options(sys.argv[1:]), []
    for dataset in args.sets:
        reason = dataset.missing(args)
        if reason:
            harness.fail(reason)
        with tempfile.TemporaryDirectory(prefix="altmin-search-") as folder:
            hold_out(dataset, args, folder)
            for method in args.methods:
                for contestant in tries(args, method):
                    run = {"dataset": dataset.name, "method": method, **one_try(args, contestant, folder)}
                    runs.append(run)
                    print(f"{dataset.name:<14} {run.get('held') or run['refused']} {contestant}", flush=True)
                    write(args, runs)


if __name__ == "__main__":
    main()
