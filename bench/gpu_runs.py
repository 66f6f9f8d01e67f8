#!/usr/bin/env python3
"""Runs of the command on one backend (cuda, or another one to rehearse), for bench/gpu.sh.

gpu_runs.py agreement   every method against the cpu backend in fp32, and speed-ups on the image set in fp32 and tf32
gpu_runs.py repeat      the same run twice, and recorded against op by op: the same bits
gpu_runs.py accuracy    seconds of training until test accuracies are reached, every method

Leaves agreement.json, repeat.json, accuracy.json in --out, written again after every run: what is measured is kept when time
runs out. Exit code 1 when a run fails or what must agree does not.
"""
import argparse
import json
import pathlib
import subprocess
import sys

TARGETS = [0.80, 0.85, 0.90, 0.95, 0.97, 0.98]


class Runs:
    def __init__(self, args):
        self.args = args
        self.data = str(args.data) if args.data else "digits"
        self.failures = 0

    def altmin(self, *words):
        """Run the command; its exit code. What it says goes to the step's log."""
        command = [str(self.args.altmin), *map(str, words)]
        print("$", *command, flush=True)
        return subprocess.run(command, stdin=subprocess.DEVNULL).returncode

    def save(self, name, root):
        (self.args.out / name).write_text(json.dumps(root, indent=1) + "\n")

    def fail(self, what):
        self.failures += 1
        print("FAILED:", what, flush=True)

    def methods(self):
        done = subprocess.run([str(self.args.altmin), "info", "--json"], capture_output=True, text=True, check=True)
        return json.loads(done.stdout)["methods"]

    # -------------------------------------------------------------------------------------------------- agreement

    def compare(self, rows, name, judged, *words):
        """One `bench compare`; judged: it fails when the objectives do not agree."""
        path = self.args.out / "logs" / f"compare-{name.replace(' ', '-')}.json"
        path.unlink(missing_ok=True)
        code = self.altmin("bench", "compare", "--backends", f"{self.args.backend},cpu", "--json", path, *words)
        root = json.loads(path.read_text()) if path.exists() else None
        if root is None or (judged and code):
            self.fail(name)
        if root is None:
            return
        device, cpu = root["runs"]
        rows.append({"name": name, "base": f"cpu {cpu['precision']}", "precision": device["precision"], "judged": judged,
                     "difference": root["objective"]["difference"], "band": root["objective"]["band"],
                     "agree": root["agree"], "speed_up": root["speed_up"], "ms_per_sweep": 1e3 * device["sweep_s"],
                     "cpu_ms_per_sweep": 1e3 * cpu["sweep_s"], "train_accuracy": device["train_accuracy"],
                     "cpu_train_accuracy": cpu["train_accuracy"], "detail": device["backend_detail"]})
        self.save("agreement.json", rows)

    def agreement(self):
        rows = []
        hidden, sweeps = ("8", 4) if self.args.tiny else ("16,16", 20)
        for method in self.methods():
            self.compare(rows, f"digits {method}", True, "--data", "digits", "--hidden", hidden, "--sweeps", sweeps,
                         "--precision", "fp32", "--method", method)
        hidden, sweeps = ("12,12", 4) if self.args.tiny else ("1000,1000", 22)
        self.compare(rows, "images 2x1000 fp32", True, "--data", self.data, "--hidden", hidden, "--sweeps", sweeps,
                     "--precision", "fp32")
        self.compare(rows, "images 2x1000 tf32", False, "--data", self.data, "--hidden", hidden, "--sweeps", sweeps,
                     "--precision", "tf32")

    # -------------------------------------------------------------------------------------------------- repeat

    def sweeps_of(self, name, *words):
        """The sweeps of a quiet run's log, without times; None when it fails."""
        log = self.args.out / "logs" / f"{name}.jsonl"
        log.unlink(missing_ok=True)
        code = self.altmin("train", "--quiet", "--backend", self.args.backend, "--seed", 1, "--valid", 0, "--log", log, "-o",
                           "/dev/null", *words)
        if code or not log.exists():
            self.fail(name)
            return None
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        return [line for line in lines if line["type"] == "sweep"]

    def repeat(self):
        rows, first = [], None
        for launch in ("graph", "graph", "stream"):
            sweeps = self.sweeps_of(f"repeat-{len(rows)}-{launch}", "--data", "digits", "--hidden", "32,32", "--sweeps",
                                    10 if self.args.tiny else 60, "--launch", launch)
            if sweeps is None:
                return
            bits = [{key: value for key, value in s.items() if key != "time_s"} for s in sweeps]
            first = first or bits
            rows.append({"launch": launch, "sweeps": len(bits), "same": bits == first})
            if bits != first:
                self.fail(f"repeat: {launch} gives other numbers than the first run")
            self.save("repeat.json", rows)

    # -------------------------------------------------------------------------------------------------- accuracy

    def candidates(self):
        """(name, method, options): gradient methods by passes, the others as long as time allows."""
        for passes in (1, 2, 4):
            yield f"adam, {passes} passes", "adam", ["--method", "adam", "--sweeps", passes]
        for method, words in (("mdlam", ["--step", "exact", "--mu", 0.1, "--eps-start", 1]), ("bcd", ["--preset", "best"]),
                              ("dladmm", ["--preset", "best"]), ("tiam", ["--preset", "best"])):
            yield method, method, ["--method", method, "--sweeps", 60, "--time-limit", 5, *words]
        for passes in (1, 2, 4):
            yield f"fcam, {passes} passes", "fcam", ["--method", "fcam", "--sweeps", passes]

    def accuracy(self):
        hidden = "16,16" if self.args.tiny else "1000,1000"
        there, runs = self.methods(), []
        for name, method, words in self.candidates():
            if method not in there or (self.args.tiny and name not in ("adam, 1 passes", "mdlam")):
                continue
            sweeps = self.sweeps_of(f"accuracy-{name.replace(', ', '-').replace(' ', '-')}", "--data", self.data, "--hidden",
                                    hidden, "--eval-every", 1, *words)
            if not sweeps:
                continue
            reached = {}
            for target in TARGETS:
                times = [s["time_s"] for s in sweeps if (s["test_accuracy"] or 0) >= target]
                if times:
                    reached[f"{target:.2f}"] = times[0]
            last = sweeps[-1]
            runs.append({"name": name, "sweeps": len(sweeps), "train_s": last["time_s"], "reached": reached,
                         "test_accuracy": last["test_accuracy"],
                         "best_test_accuracy": max(s["test_accuracy"] or 0 for s in sweeps)})
            print(json.dumps(runs[-1]), flush=True)
            self.save("accuracy.json", {"data": self.data, "hidden": hidden, "backend": self.args.backend, "runs": runs})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["agreement", "repeat", "accuracy"])
    parser.add_argument("--altmin", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--backend", default="cuda")
    parser.add_argument("--data", type=pathlib.Path, help="folder with an image set's IDX files [the embedded digits]")
    parser.add_argument("--tiny", action="store_true", help="sizes of a rehearsal")
    args = parser.parse_args()
    (args.out / "logs").mkdir(parents=True, exist_ok=True)
    runs = Runs(args)
    getattr(runs, args.what)()
    return 1 if runs.failures else 0


if __name__ == "__main__":
    sys.exit(main())
