"""Training as a user sees it: report, files written, settings from flags and config, log, repeatability."""

import csv
import json
import os
import pty
import random
import re
import subprocess
import unittest

from support import ALTMIN, Case, DIGITS, Tensors, WINE, run

ROW = re.compile(r"^ *(\d+) +([\d.]+)s +\S+ +\S+ +[\d.]+ +[\d.]+", re.M)


def log_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


class Report(Case):
    def test_without_arguments(self):
        """`altmin train` alone learns the digits, offline, and says where the model is."""
        text = self.ok("train")
        accuracy = float(re.search(r"(?m)^test +accuracy ([\d.]+)", text).group(1))
        self.assertGreater(accuracy, 0.8)
        self.assertRegex(text, r"(?m)^wrote +altmin\.safetensors \(")
        for head in ["data", "samples", "network", "method", "backend", "memory", "stopped", "best", "train", "valid"]:
            self.assertRegex(text, rf"(?m)^{head} +\S")
        evaluated = self.ok("eval", "altmin.safetensors", *DIGITS)
        self.assertAlmostEqual(float(re.search(r"accuracy +([\d.]+)", evaluated).group(1)), accuracy, places=4)

    def test_pipe_gets_plain_lines(self):
        text = self.ok("train", "--sweeps", "7", "--hidden", "8")
        self.assertFalse(set(text) - set(map(chr, range(32, 127))) - {"\n"}, "control characters in a pipe")
        self.assertEqual([int(row[0]) for row in ROW.findall(text)][-1], 7)
        self.assertLessEqual(max(map(len, text.splitlines())), 100)

    def test_quiet(self):
        self.assertEqual(self.ok("train", "-q", "--sweeps", "2"), "")
        self.assertEqual(self.ok("train", "--quiet", "--sweeps=2"), "")
        self.assertTrue((self.dir / "altmin.safetensors").exists())

    def test_terminal_shows_progress(self):
        """On a terminal a progress line with the time left is rewritten in place and gone at the end."""
        main, other = pty.openpty()
        process = subprocess.Popen([ALTMIN, "train", "--sweeps", "30", "--hidden", "8"], cwd=self.dir, stdin=other,
                                   stdout=other, stderr=other)
        os.close(other)
        text = b""
        while True:
            try:
                chunk = os.read(main, 4096)
            except OSError:  # the other end is closed
                break
            if not chunk:
                break
            text += chunk
        os.close(main)
        self.assertEqual(process.wait(), 0)
        text = text.decode().replace("\r\n", "\n")
        self.assertIn("sweep 1 of 30", text)
        self.assertRegex(text, r"\r\[#*\.*\] sweep \d+ of 30, .* left")
        end = text[text.index("\nstopped") :]
        self.assertNotIn("\r", end)
        self.assertEqual(len(ROW.findall(re.sub(r"\r[^\n]*?\033\[K", "", text))), 30)

    def test_reader_that_goes_away(self):
        """`altmin train | head -1` ends early, in order, with the model saved."""
        process = subprocess.Popen([ALTMIN, "train", "--sweeps", "1000000", "--hidden", "4"], cwd=self.dir,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        process.stdout.readline()
        process.stdout.close()
        message = process.stderr.read()
        process.stderr.close()
        self.assertEqual(process.wait(timeout=60), 1)
        self.assertIn("cannot write to standard output", message)
        Tensors(self.dir / "altmin.safetensors")


class Files(Case):
    def test_model_file(self):
        tensors = Tensors(self.train("--sweeps", "2", "--hidden", "6,5"))
        shapes = sorted(tuple(shape) for shape, _ in tensors.tensor.values() if len(shape) == 2)
        self.assertEqual(shapes, [(5, 6), (6, 64), (10, 5)])

    def test_output_can_be_named_in_every_way(self):
        for args in [["-o", "a"], ["-oa"], ["--output", "a"], ["--output=a"], ["-qo", "a"]]:
            self.ok("train", "-q", "--sweeps", "1", *args)
            (self.dir / "a").unlink()
        self.assertEqual(os.listdir(self.dir), [])

    def test_dev_null_saves_nothing(self):
        text = self.ok("train", "--sweeps", "1", "-o", "/dev/null")
        self.assertNotIn("wrote", text)
        self.assertEqual(os.listdir(self.dir), [])
        self.assertTrue(os.path.exists("/dev/null") and not os.path.isfile("/dev/null"))

    def test_old_model_stays_when_a_run_is_refused(self):
        model = self.train("--sweeps", "1")
        before = model.read_bytes()
        self.refused(1, "train", "-o", model, "--data", "no-such-file")
        self.refused(2, "train", "-o", model, "--sweeps", "x")
        self.assertEqual(model.read_bytes(), before)

    def test_nothing_else_is_left(self):
        self.train("--sweeps", "3", "--save-every", "0.001")
        self.assertEqual(os.listdir(self.dir), ["m.safetensors"])

    def test_same_seed_same_bytes(self):
        first = self.train("--sweeps", "5", "--seed", "7", model="1").read_bytes()
        self.assertEqual(first, self.train("--sweeps", "5", "--seed", "7", model="2").read_bytes())
        other = self.train("--sweeps", "5", "--seed", "8", model="3")
        name = next(n for n, (shape, _) in Tensors(other).tensor.items() if len(shape) == 2)
        self.assertNotEqual(Tensors(self.dir / "1").tensor[name], Tensors(other).tensor[name])


class Settings(Case):
    def stopped_after(self, *args):
        text = self.ok("train", "--hidden", "4", "-o", "/dev/null", *args)
        return int(re.search(r"(?m)^stopped +after sweep (\d+)", text).group(1))

    def test_flags_win_over_the_config_file(self):
        (self.dir / "c.json").write_text('{"sweeps": 3, "hidden": [4], "rho": 0.01}')
        self.assertEqual(self.stopped_after("--config", "c.json"), 3)
        self.assertEqual(self.stopped_after("--config", "c.json", "--sweeps", "5"), 5)
        self.assertEqual(self.stopped_after("--sweeps", "4", "--config=c.json"), 4)

    def test_bad_config_files(self):
        for text, words in [("{", "line 1"), ('{"sweep": 3}', "did you mean 'sweeps'"), ('{"sweeps": "x"}', "sweeps"),
                            ('{"sweeps": 3, "sweeps": 4}', "sweeps"), ("[1]", "object")]:
            (self.dir / "c.json").write_text(text)
            message = run("train", "--config", "c.json", cwd=self.dir)
            self.assertIn(message.returncode, (1, 2))
            self.assertIn("c.json", message.stderr)
            self.assertIn(words, message.stderr)

    def test_stop_rules(self):
        self.assertEqual(self.stopped_after("--sweeps", "6"), 6)
        text = self.ok("train", "--sweeps", "100000", "--time-limit", "0.3", "-o", "/dev/null")
        self.assertIn("time limit", text)
        text = self.ok("train", "--sweeps", "100000", "--target-accuracy", "0.5", "-o", "/dev/null")
        self.assertIn("target accuracy", text)


class Log(Case):
    NAMES = {"type", "sweep", "time_s", "objective", "feasibility", "step_norm", "train_loss", "train_accuracy",
             "valid_loss", "valid_accuracy", "test_loss", "test_accuracy"}

    def test_lines(self):
        self.train("--sweeps", "4", "--log", "run.jsonl")
        header, *sweeps, result = log_of(self.dir / "run.jsonl")
        self.assertEqual((header["type"], result["type"]), ("header", "result"))
        self.assertEqual({s["type"] for s in sweeps}, {"sweep"})
        self.assertEqual([s["sweep"] for s in sweeps][-4:], [1, 2, 3, 4])
        for sweep in sweeps:
            self.assertLessEqual(self.NAMES, set(sweep))
        for sweep in sweeps[1:]:
            self.assertTrue(0 <= sweep["test_accuracy"] <= 1 and sweep["train_loss"] > 0)
        self.assertEqual(header["settings"]["sweeps"], 4)

    def test_log_and_model_must_differ(self):
        self.refused(2, "train", "-o", "x", "--log", "x", says=["--log and --output"])
        self.refused(1, "train", "--log", "no/such/folder/x", says=["no/such/folder"])


class Residual(Case):
    """Residual networks: trained, stored, shown and used as plain ones are."""

    def test_digits(self):
        """64 features, blocks of 64: no input map; blocks of 48: one layer more."""
        for width, layers in (64, 4), (48, 5):
            text = self.ok("train", *DIGITS, "--arch", "resnet", "--method", "adam", "--hidden", f"3x{width}", "--sweeps",
                           "25", "--batch", "50", "-o", "m")
            shown = "-".join(map(str, [64] + [width] * (layers - 1) + [10]))
            self.assertIn(f"\nnetwork   resnet {shown}, relu", text)
            accuracy = float(re.search(r"(?m)^test +accuracy ([\d.]+)", text).group(1))
            self.assertGreater(accuracy, 0.85)
            evaluated = self.ok("eval", "m", *DIGITS)
            self.assertIn(f"(resnet {shown})", evaluated)
            self.assertAlmostEqual(float(re.search(r"accuracy +([\d.]+)", evaluated).group(1)), accuracy, places=4)
            self.assertIn(f"resnet {shown}", self.ok("info", "m"))
            info = json.loads(self.ok("info", "m", "--json"))
            self.assertEqual((info["architecture"], len(info["widths"])), ("resnet", layers + 1))
            proba = [list(map(float, line.split(","))) for line in self.ok("predict", "m", *DIGITS, "--proba").splitlines()]
            labels = [int(line) for line in self.ok("predict", "m", *DIGITS).splitlines()]
            self.assertEqual(labels, [p.index(max(p)) for p in proba])

    def test_wine(self):
        """Values, also with as many as 32 blocks."""
        rows = [line.split(",") for line in WINE.read_text().splitlines()]
        for blocks in 2, 32:
            text = self.ok("train", "--data", WINE, "--task", "regression", "--arch", "resnet", "--method", "adam", "--hidden",
                           f"{blocks}x16", "--batch", "32", "--sweeps", "150", "--valid", "0.2", "-o", "m")
            self.assertIn("network   resnet 11-16-16", text)
            self.assertGreater(float(re.search(r"(?m)^valid +R2 (\S+),", text).group(1)), 0.1)
            result = json.loads(self.ok("eval", "m", "--data", WINE, "--json"))
            self.assertGreater(result["r2"], 0.4)
            got = [float(v) for v in self.ok("predict", "m", "--data", WINE, "--label", "-1").splitlines()]
            error = sum((g - float(r[-1])) ** 2 for g, r in zip(got, rows, strict=True)) / len(rows)
            self.assertAlmostEqual(error, result["mse"], delta=1e-4 * error)

    def test_settings_of_a_model_train_it_again(self):
        model = self.train("--arch", "resnet", "--method", "adam", "--hidden", "2x8", "--sweeps", "2")
        (self.dir / "again.json").write_text(self.ok("info", model, "--settings"))
        self.ok("train", "--quiet", "--config", "again.json", "-o", "again")
        self.assertEqual(model.read_bytes(), (self.dir / "again").read_bytes())

    def test_refusals(self):
        resnet = ["train", "--arch", "resnet", "--method", "adam"]
        self.refused(2, *resnet, "--hidden", "50,40", says=["40 after 50", "2x50"])
        self.refused(2, *resnet, "--hidden", "none", says=["at least one residual block", "--arch mlp"])
        self.refused(2, *resnet, "--hidden", "256x50", says=["256 residual blocks", "64 features", "width 50"])
        self.refused(2, *resnet, "--hidden", "3x", says=["'3x'", "16x50"])
        self.refused(2, "train", "--arch", "resnet", "--method", "mdlam", says=["mdlam trains plain networks", "sgd, adam"])


class Csv(Case):
    def write(self, name, rows):
        with open(self.dir / name, "w", newline="") as f:
            csv.writer(f).writerows(rows)

    def blobs(self, n, seed):
        rng = random.Random(seed)
        for i in range(n):
            k = i % 3
            yield [round(rng.gauss(4 * (k == 0), 1), 4), round(rng.gauss(4 * (k == 1), 1), 4), ["ab", "c,d", 'e"f'][k]]

    def test_text_classes(self):
        self.write("train.csv", [["x", "y", "kind"], *self.blobs(300, 1)])
        self.write("test.csv", [["x", "y", "kind"], *self.blobs(90, 2)])
        text = self.ok("train", "--data", "train.csv", "--test", "test.csv", "--hidden", "10", "--sweeps", "60", "-o", "m")
        self.assertIn("3 classes", text)
        self.assertGreater(float(re.search(r"(?m)^test +accuracy ([\d.]+)", text).group(1)), 0.9)
        evaluated = json.loads(self.ok("eval", "m", "--data", "test.csv", "--json"))
        self.assertGreater(evaluated["accuracy"], 0.9)
        predicted = list(csv.reader(self.ok("predict", "m", "--data", "test.csv", "--label", "kind").splitlines()))
        right = sum(p == [kind] for p, (_, _, kind) in zip(predicted, self.blobs(90, 2), strict=True))
        self.assertAlmostEqual(right / 90, evaluated["accuracy"], places=6)

    def test_regression(self):
        rng = random.Random(3)
        points = [(rng.uniform(-1, 1), rng.uniform(-1, 1)) for _ in range(400)]
        self.write("r.csv", [["u", "v", "y"]] + [[u, v, 2 * u - v + 0.5] for u, v in points])
        text = self.ok("train", "--data", "r.csv", "--hidden", "none", "--sweeps", "200", "-o", "m", "--rho", "1",
                       "--log", "run.jsonl")
        self.assertIn("regression", text)
        result = json.loads(self.ok("eval", "m", "--data", "r.csv", "--json"))
        self.assertGreater(result["r2"], 0.95)
        self.assertIsNone(result["accuracy"])
        sweep = log_of(self.dir / "run.jsonl")[-2]
        self.assertTrue({"train_r2", "valid_r2", "test_r2", "train_mse", "valid_mse"} <= set(sweep))
        self.assertNotIn("train_accuracy", sweep)

    def test_missing_value_names_line_and_column(self):
        self.write("bad.csv", [["x", "y", "kind"], [1, 2, "a"], [3, "", "b"]])
        self.refused(1, "train", "--data", "bad.csv", says=["bad.csv", "line 3", "column 2"])


if __name__ == "__main__":
    unittest.main()
