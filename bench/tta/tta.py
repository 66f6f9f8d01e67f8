"""Time to accuracy on MNIST and Fashion-MNIST: `altmin bench tta`, PyTorch's Adam beside it, as Markdown, JSON and SVG. Called
by run.sh.

A run counts with its accuracy at its end; time to an accuracy is that of the shortest run whose mean accuracy over the seeds
reaches it (see src/host/cli/bench_tta.c).
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile

import plot

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "methods"))
import datasets
import harness

TARGETS = {"mnist": ".9,.95,.97,.975,.98", "fashion-mnist": ".85,.88,.89"}
TITLES = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}
HIDDEN = "300,300"
PASSES = ".1,.2,.4,.6,.8,1,1.5,2,2.5,3,4"
QUICK = {"seeds": 1, "passes": ".5,1", "hidden": "16", "methods": "fcam,adam"}


def options(argv):
    parser = argparse.ArgumentParser(prog="run.sh", allow_abbrev=False, description="Time to accuracy on MNIST and Fashion-MNIST.")
    parser.add_argument("outdir", metavar="OUTDIR", help="where tta.md, tta.json and plots go; made if it is not there")
    datasets.add_options(parser)
    parser.add_argument("--seeds", type=harness.positive, default=5, metavar="N", help="train with seeds 1..N [default 5]")
    parser.add_argument("--threads", default="0", metavar="N", help="threads to train with; 0: all cores [default 0]")
    parser.add_argument("--passes", default=PASSES, metavar="LIST", help="lengths of runs [default %(default)s]")
    parser.add_argument("--hidden", default=HIDDEN, metavar="LIST", help="hidden layers [default %(default)s]")
    parser.add_argument("--quick", action="store_true", help="a small network, short runs, one seed: does it run at all?")
    parser.add_argument("--altmin", metavar="PATH", help="altmin command to run [default: the one just built]")
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    args.only = args.only or ",".join(TARGETS)
    datasets.complete(args)
    other = [s.name for s in args.sets if s.name not in TARGETS]
    if other:
        harness.fail(f"'{other[0]}' is not among {', '.join(TARGETS)}", 2)
    for name, value in QUICK.items() if args.quick else ():
        setattr(args, name, value)
    return args


def measure(args, dataset):
    """What `altmin bench tta` says of a set, its text on our output."""
    with tempfile.TemporaryDirectory(prefix="altmin-tta-") as folder:
        path = os.path.join(folder, "tta.json")
        command = [args.altmin, "bench", "tta", "--data", dataset.folder(args), "--hidden", args.hidden, "--passes", args.passes,
                   "--targets", TARGETS[dataset.name], "--seeds", str(args.seeds), "--threads", args.threads, "--json", path]
        done = subprocess.run([*command, *(["--methods", args.methods] if args.methods else [])])
        if done.returncode:
            harness.fail(f"altmin bench tta failed with code {done.returncode}")
        with open(path, encoding="utf-8") as file:
            return json.load(file)


def measure_torch(args, dataset, result):
    """PyTorch's Adam as one more contestant, or the reason why it is not there."""
    if importlib.util.find_spec("torch") is None:
        return "Python has no torch"
    with tempfile.TemporaryDirectory(prefix="altmin-tta-") as folder:
        path = os.path.join(folder, "torch.json")
        whole = [p for p in args.passes.split(",") if float(p) == int(float(p))]
        done = subprocess.run([sys.executable, os.path.join(harness.ROOT, "bench", "torch_adam.py"), "--data",
                               dataset.folder(args), "--device", "cpu", "--short-rate", "5e-3", "--hidden", args.hidden, "--passes", ",".join(whole),
                               "--seeds", str(args.seeds), "--threads", str(result["threads"]), "--json", path],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            return f"torch_adam.py failed: {done.stderr.strip().splitlines()[-1]}"
        with open(path, encoding="utf-8") as file:
            result["contestants"].append(torch_contestant(json.load(file), result["targets"]))
    return None


def torch_contestant(said, targets):
    """Its runs in the form of `altmin bench tta`."""
    lengths = []
    for passes in dict.fromkeys(r["passes"] for r in said["runs"]):
        runs = sorted((r for r in said["runs"] if r["passes"] == passes), key=lambda r: r["train_s"])
        n = len(runs)
        lengths.append({"passes": passes, "accuracy": sum(r["test_accuracy"] for r in runs) / n,
                        "median_s": (runs[(n - 1) // 2]["train_s"] + runs[n // 2]["train_s"]) / 2,
                        "runs": [{"seed": r["seed"], "train_s": r["train_s"], "accuracy": r["test_accuracy"]} for r in runs]})
    return {"name": f"PyTorch {said['torch']} Adam", "lengths": lengths,
            "reached": [reached(lengths, target) for target in targets]}


def reached(lengths, target):
    first = next((g for g in lengths if g["accuracy"] is not None and g["accuracy"] >= target), None)
    times = [r["train_s"] for r in first["runs"]] if first else [None]
    return {"accuracy": target, "passes": first and first["passes"], "median_s": first and first["median_s"],
            "least_s": min(times) if first else None, "most_s": max(times) if first else None}


# ---- Markdown


def accuracy(value):
    return "-" if value is None else f"{value:.4f}".replace("0.", ".", 1)


def cell(hit):
    if hit["median_s"] is None:
        return "-"
    return f"{hit['median_s']:.2f} ({hit['least_s']:.2f}-{hit['most_s']:.2f}) s, {hit['passes']:g}"


def table(name, result):
    head = ["contestant", *(f"to {t:g}" for t in result["targets"]), "longest run", "its accuracy", "over seeds"]
    lines = [f"### {TITLES[name]}, {result['widths']}", "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for c in result["contestants"]:
        last = c["lengths"][-1]
        ends = [r["accuracy"] for r in last["runs"] if r["accuracy"] is not None]
        lines.append("| " + " | ".join([
            f"`{c['name']}`", *(cell(hit) for hit in c["reached"]), f"{last['passes']:g}", accuracy(last["accuracy"]),
            f"{accuracy(min(ends))}-{accuracy(max(ends))}" if ends else "-"]) + " |")
    return [*lines, "", f"![accuracy against time]({name}.svg)", ""]


def page(args, about, results, skipped):
    some = next(iter(results.values()), None)
    lines = ["# Time to accuracy", ""]
    if some:
        lines += [f"{about['date']}, {some['cpu']}, {some['threads']} threads, {some['backend']}, altmin {some['version']} at commit "
                  f"{about['commit']}; load average at the start {about['load']} (times mean little on a busy machine).", ""]
    lines += [f"Seeds 1-{args.seeds}. Every run's schedule ends at its last pass, so a run counts with its test accuracy at its end. "
              "*to*: seconds (median, least-most over the seeds) and passes of the shortest run whose mean accuracy is at least "
              "that; runs get longer only until the last target is reached. Seconds are training alone: evaluation, "
              "reading and uploading are outside the clock; Gram matrices, eigenvectors and whitening of the input are inside.", ""]
    if args.quick:
        lines += ["Smoke run (`--quick`): these are not results.", ""]
    for name, result in results.items():
        lines += table(name, result)
    return "\n".join(lines + [f"Skipped: {what}: {why}.\n" for what, why in skipped.items()])


def curves(result):
    """Of the plot: (name, [(seconds, accuracy), ..]) of each contestant."""
    return [(c["name"], [(g["median_s"], g["accuracy"]) for g in c["lengths"] if g["accuracy"] is not None])
            for c in result["contestants"]]


def write(args, about, results, skipped):
    """All files, anew after every data set: what is there stays when a later run is stopped."""
    os.makedirs(args.outdir, exist_ok=True)
    files = {"tta.json": json.dumps({"about": about, "seeds": args.seeds, "quick": args.quick, "skipped": skipped,
                                     "sets": results}, indent=1) + "\n",
             "tta.md": page(args, about, results, skipped)}
    for name, result in results.items():
        title = f"{TITLES[name]}, {result['widths']}, test accuracy at the end of each run"
        files[f"{name}.svg"] = plot.svg(title, curves(result))
    for name, text in files.items():
        with open(os.path.join(args.outdir, name), "w", encoding="utf-8") as file:
            file.write(text)


def main():
    args = options(sys.argv[1:])
    if args.check:
        return
    if not args.altmin:
        harness.fail("start me by run.sh, or name --altmin", 2)
    about, results, skipped = harness.now(), {}, {}
    for dataset in args.sets:
        reason = dataset.missing(args)
        if reason:
            skipped[dataset.name] = reason
        else:
            results[dataset.name] = measure(args, dataset)
            why = measure_torch(args, dataset, results[dataset.name])
            if why:
                skipped[f"PyTorch's Adam on {TITLES[dataset.name]}"] = why
        write(args, about, results, skipped)
    for what, why in skipped.items():
        print(f"skipped: {what}: {why}")


if __name__ == "__main__":
    main()
