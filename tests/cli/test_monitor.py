"""altmin monitor: the verdict on a stored run is the one of the run itself."""

import json
import unittest

from support import Case, DIGITS


class Monitor(Case):
    def log_of(self, *args):
        floor = ["--eps-floor", "1e-3", "--eps-restart", "0"]
        self.ok("train", "--quiet", *DIGITS, "--hidden", "16", *floor, "--log", "run.jsonl", "-o", "/dev/null", *args)
        return [json.loads(line) for line in (self.dir / "run.jsonl").read_text().splitlines()]

    def judge(self, *args, **keywords):
        return json.loads(self.ok("monitor", "run.jsonl", "--json", *args, **keywords))

    def assert_same(self, stored, live):
        """Alike up to the nine digits of the log's numbers."""
        self.assertEqual(stored.keys(), live.keys())
        for key in live:
            a, b = stored[key], live[key]
            if isinstance(b, dict):
                self.assert_same(a, b)
            elif isinstance(b, list):
                self.assertEqual(len(a), len(b))
                for x, y in zip(a, b):
                    self.assert_same(x, y)
            elif isinstance(b, float) and a is not None:
                self.assertAlmostEqual(a, b, delta=1e-4 * abs(b) + 1e-12)
            else:
                self.assertEqual(a, b, key)

    def test_stored_run_is_judged_as_live(self):
        for method in "mdlam", "adam":
            lines = self.log_of("--method", method, "--sweeps", "90")
            live = lines[-1]["monitor"]
            self.assert_same(self.judge(), live)
            self.assertEqual(live["first_sweep"], 18 if method == "mdlam" else 1)  # 100/2^17 is below the floor of 1e-3
            self.assertEqual(live["sweeps"], 73 if method == "mdlam" else 90)
            self.assertGreater(sum(live["decrease"][0][key] is not None for key in ("c", "c_blocked")), 0)

    def test_sweeps_in_the_log_agree_with_themselves(self):
        for line in self.log_of("--sweeps", "25")[1:-1]:
            square = sum(x * x for block in line["steps"].values() for x in block)
            self.assertAlmostEqual(square**0.5, line["step_norm"], delta=1e-6 * line["step_norm"])
            self.assertAlmostEqual(line["eps"], max(100 * 0.5 ** (line["sweep"] - 1), 1e-3), delta=1e-9)
            self.assertGreaterEqual(line["guarded"], 0)

    def test_tolerance(self):
        self.log_of("--sweeps", "60", "--tolerance", "1e-9")
        self.assertEqual(self.judge()["tolerance"], 1e-9)
        self.assertEqual(self.judge("--tolerance", "0.5")["tolerance"], 0.5)
        self.assertEqual(self.judge("--tolerance", "0.5")["sweeps_left"], 0)

    def test_text(self):
        self.log_of("--sweeps", "60")
        text = self.ok("monitor", "run.jsonl")
        for words in "run.jsonl (mdlam)", "judged", "verdict", "violations":
            self.assertIn(words, text)
        report = self.ok("train", *DIGITS, "--hidden", "16", "--sweeps", "5", "-o", "/dev/null")
        self.assertEqual(sum(line.startswith("monitor ") for line in report.splitlines()), 1)

    def test_relative_error_is_measured_when_asked(self):
        for method, batch in ("mdlam", "250"), ("bcd", "250"), ("adam", "0"):
            lines = self.log_of("--method", method, "--batch", batch, "--sweeps", "40", "--subgradient", "yes")
            self.assertTrue(all(line["subgradient"] > 0 for line in lines[1:-1]))
            b = lines[-1]["monitor"]["relative_error"]
            self.assertGreater(b, 0)
            self.assert_same(self.judge(), lines[-1]["monitor"])
            self.assertIn("relative error b %.3g" % b, self.ok("monitor", "run.jsonl"))
        lines = self.log_of("--sweeps", "40")
        self.assertTrue(all(line["subgradient"] is None for line in lines[1:-1]))
        self.assertIsNone(lines[-1]["monitor"]["relative_error"])
        self.assertNotIn("relative error", self.ok("monitor", "run.jsonl"))
        self.refused(2, "train", *DIGITS, "--method", "adam", "--subgradient", "yes", says=("--batch 0",))

    def test_half_a_line_is_left_out(self):
        self.log_of("--sweeps", "30")
        lines = (self.dir / "run.jsonl").read_text().splitlines(keepends=True)
        (self.dir / "run.jsonl").write_text("".join(lines[:25]) + lines[25][:40])
        from support import run

        result = run("monitor", "run.jsonl", "--json", cwd=self.dir)
        self.assertEqual(result.returncode, 0)
        self.assertIn("line 26 is incomplete", result.stderr)
        self.assertEqual(json.loads(result.stdout)["sweeps"], 24 - 17)

    def test_what_is_no_log(self):
        self.refused(2, "monitor", says=("which run?",))
        self.refused(1, "monitor", "missing.jsonl", says=("missing.jsonl", "No such file"))
        for text, says in (
            ("", "no sweeps"),
            ("{}\n", "line 1: neither header"),
            ("[1, 2\n", "line 1"),
            ('{"type":"sweep","sweep":1,"objective":2}\n', "line 1: a sweep without"),
            ('{"type":"sweep","sweep":1,"objective":2,"steps":{"W":7}}\n', "line 1: a sweep without"),
        ):
            (self.dir / "bad.jsonl").write_text(text)
            self.refused(1, "monitor", "bad.jsonl", says=("bad.jsonl", says))
        (self.dir / "odd.jsonl").write_text('{"type":"sweep","sweep":1,"objective":2,"steps":{"W":[1],"z":"x"}}\n')
        self.refused(1, "monitor", "odd.jsonl", says=("no sweeps",))


if __name__ == "__main__":
    unittest.main()
