"""bench/tta: the report of `altmin bench tta`, its page and plot, the search on held-out samples, what is refused."""

import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDER = os.path.join(ROOT, "bench", "tta")
sys.path.insert(0, FOLDER)
import plot
import tta


def idx(dims, raw):
    return bytes([0, 0, 8, len(dims)]) + struct.pack(f">{len(dims)}I", *dims) + raw


class Tta(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name

    def write_images(self, n_train=3000, n_test=500, side=6):
        """Four classes: one quarter of the picture is bright, the rest is noise."""
        rng = random.Random(5)
        os.makedirs(os.path.join(self.folder, "mnist"), exist_ok=True)
        for part, n in (("train", n_train), ("t10k", n_test)):
            labels = bytes(rng.randrange(4) for _ in range(n))
            pixels = bytes(rng.randrange(120) + 100 * (label == 2 * (2 * i >= side) + (2 * k >= side))
                           for label in labels for i in range(side) for k in range(side))
            for what, dims, raw in (("images-idx3-ubyte", (n, side, side), pixels), ("labels-idx1-ubyte", (n,), labels)):
                with open(os.path.join(self.folder, "mnist", f"{part}-{what}"), "wb") as file:
                    file.write(idx(dims, raw))

    def bench(self, *options):
        path = os.path.join(self.folder, "out.json")
        done = subprocess.run([os.environ["ALTMIN"], "bench", "tta", "--threads", "1", "--json", path, *options],
                              capture_output=True, text=True)
        if done.returncode:
            return done, None
        with open(path, encoding="utf-8") as file:
            return done, json.load(file)

    def on_images(self, *options):
        return self.bench("--data", os.path.join(self.folder, "mnist"), "--hidden", "12", *options)

    def script(self, name, *options):
        return subprocess.run([sys.executable, os.path.join(FOLDER, name), "--altmin", os.environ["ALTMIN"], "--data",
                               self.folder, "--threads", "1", *options], capture_output=True, text=True, cwd=self.folder)

    def test_report_is_what_the_runs_say(self):
        self.write_images()
        targets = [0.3, 0.8, 0.9999]
        done, said = self.on_images("--methods", "fcam:eta=20,adam:rate=1e-2:batch=50,adam:whiten=1:rate=1e-2:batch=50,"
                                    "bcd:stream=yes:batch=100", "--passes", "0.3,1,3", "--seeds", "3", "--targets",
                                    ",".join(map(str, targets)))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((said["judge"], said["n_train"], said["n_judged"], said["seeds"]), ("test", 3000, 500, 3))
        self.assertEqual(len(said["contestants"]), 4)
        for c in said["contestants"]:
            with self.subTest(c=c["name"]):
                passes = [g["passes"] for g in c["lengths"]]
                self.assertEqual(passes, [0.3, 1, 3][:len(passes)])
                for g in c["lengths"]:
                    times = sorted(r["train_s"] for r in g["runs"])
                    self.assertEqual(sorted(r["seed"] for r in g["runs"]), [1, 2, 3])
                    self.assertGreater(times[0], 0)
                    self.assertAlmostEqual(g["median_s"], times[1], delta=1e-9)
                    self.assertAlmostEqual(g["accuracy"], sum(r["accuracy"] for r in g["runs"]) / 3, delta=1e-9)
                for target, hit in zip(targets, c["reached"]):
                    first = next((g for g in c["lengths"] if g["accuracy"] >= target), None)
                    self.assertEqual((hit["passes"], hit["median_s"]), (first and first["passes"], first and first["median_s"]))
                if len(passes) < 3:  # longer runs only until the last target is reached
                    self.assertIsNotNone(c["reached"][-1]["passes"])
                self.assertGreater(c["lengths"][-1]["accuracy"], 0.9)
                self.assertIn(f"  {c['name']}\n", done.stdout)

    def test_accuracy_is_that_of_the_same_run_by_train(self):
        self.write_images()
        data = os.path.join(self.folder, "mnist")
        _, said = self.on_images("--methods", "adam:whiten=0.9:batch=50", "--passes", "1.5", "--seeds", "1", "--targets", "1")
        log = os.path.join(self.folder, "log")
        done = subprocess.run([os.environ["ALTMIN"], "train", "--data", data, "--hidden", "12", "--method", "adam", "--whiten",
                               "0.9", "--batch", "50", "--sweeps", "1.5", "--valid", "0", "--threads", "1", "--log", log, "-o",
                               os.path.join(self.folder, "model")], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(log, encoding="utf-8") as lines:
            sweeps = [r for r in map(json.loads, lines) if r["type"] == "sweep"]
        self.assertEqual(said["contestants"][0]["lengths"][0]["accuracy"], sweeps[-1]["test_accuracy"])
        evaluated = subprocess.run([os.environ["ALTMIN"], "eval", os.path.join(self.folder, "model"), "--data", data],
                                   capture_output=True, text=True)
        self.assertIn(f"{sweeps[-1]['test_accuracy']:.4f}", evaluated.stdout)  # folded back

    def test_setting_for_short_runs(self):
        self.write_images()
        _, said = self.on_images("--methods", "sgd:rate=2e-3,sgd:rate=1e-6,sgd:rate=1e-6:rate=2e-3@1", "--passes", "1,2", "--seeds",
                                 "1", "--targets", "1")
        fast, slow, both = ([g["accuracy"] for g in c["lengths"]] for c in said["contestants"])
        self.assertEqual(both, [fast[0], slow[1]])
        self.assertNotEqual(fast[0], slow[0])

    def test_refusals(self):
        made_up = ("--shape", "500,20,3")
        for words, options in (("is not SETTING=VALUE", ("--methods", "adam:rate")), ("did you mean 'rate'", ("--methods", "adam:rat=1")),
                               ("ascending", ("--passes", "2,1")), ("ascending", ("--targets", "0.9,1.5")),
                               ("whole passes only", ("--methods", "mdlam", "--passes", "0.5")),
                               ("no test data", ("--methods", "adam")), ("--seeds", ("--seeds", "0")),
                               ("say --methods", ("--method", "adam")),
                               ("residual block", ("--methods", "adam:whiten=1:arch=resnet:hidden=20", "--valid", "0.1")),
                               ("leave --subgradient out", ("--methods", "adam:whiten=1:batch=0:subgradient=yes", "--valid", "0.1"))):
            with self.subTest(options=options):
                done, _ = self.bench(*made_up, *options)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(words, done.stderr)

    def test_quick_run_leaves_page_data_and_plot(self):
        self.write_images()
        out = os.path.join(self.folder, "out")
        done = self.script("tta.py", out, "--quick", "--fashion", os.path.join(self.folder, "none"))
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(os.path.join(out, "tta.json"), encoding="utf-8") as file:
            kept = json.load(file)
        self.assertEqual(list(kept["sets"]), ["mnist"])
        self.assertIn("lacks train-images", kept["skipped"]["fashion-mnist"])
        with open(os.path.join(out, "tta.md"), encoding="utf-8") as file:
            text = file.read()
        for c in kept["sets"]["mnist"]["contestants"]:
            self.assertIn(f"| `{c['name']}` | {tta.cell(c['reached'][0])} |", text)
        drawn = xml.parse(os.path.join(out, "mnist.svg")).getroot()
        dots = [e for e in drawn.iter() if e.tag.endswith("circle")]
        self.assertEqual(len(dots), sum(len(c["lengths"]) for c in kept["sets"]["mnist"]["contestants"]))

    def test_plot_puts_better_above_and_slower_right(self):
        axes = plot.Axes([(0.1, 0.9), (10.0, 0.98)])
        self.assertLess(axes.y(0.98), axes.y(0.9))
        self.assertLess(axes.x(0.1), axes.x(10.0))
        self.assertAlmostEqual(axes.x(1.0), (axes.x(0.1) + axes.x(10.0)) / 2)
        self.assertEqual(plot.nice_times(0.15, 6), [0.2, 0.5, 1, 2, 5])
        xml.fromstring(plot.svg("a < b", [("x & y", [(1.0, 0.9), (2.0, 1.0)])]))

    def test_search_judges_by_training_samples(self):
        self.write_images(n_train=600, n_test=7)
        out = os.path.join(self.folder, "search")
        done = self.script("search.py", out, "--methods", "fcam,bcd", "--tries", "2", "--hidden", "8")
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(os.path.join(out, "search.json"), encoding="utf-8") as file:
            runs = json.load(file)["runs"]
        self.assertEqual([r["contestant"].split(":eta")[0].split(":lam")[0] for r in runs],
                         ["fcam", "fcam", "bcd:stream=yes", "bcd:stream=yes"])
        self.assertEqual({(r["n_train"], r["n_held"]) for r in runs}, {(500, 100)})
        self.assertEqual({c for r in runs for c in r["held"]}, {"1"})


if __name__ == "__main__":
    unittest.main()
