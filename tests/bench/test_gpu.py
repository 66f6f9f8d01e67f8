"""bench/gpu.sh and bench/carry.sh on a machine without a GPU: a whole rehearsal on the cpu backend with stand-ins for the
driver's tools, what happens when steps fail or time runs out, and the folder that travels."""

import csv
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]

NVIDIA_SMI = """#!/bin/sh
case "$*" in
*" -l "*) while :; do echo "now, 1980 MHz"; sleep 1; done ;;
*) echo 'NVIDIA "Stand-in", 580.1, 143771 MiB, 1980 MHz, 3201 MHz, 345 MHz, 3201 MHz, 700.00 W, 9.0' ;;
esac
"""
SANITIZER = """#!/bin/sh
[ "$1" = --tool ] && [ "$3 $4" = "--error-exitcode 9" ] || exit 77
shift 4
exec "$@"
"""


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="with space ")
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
        self.out = self.dir / "results of today"

    def script(self, path, text):
        path = self.dir / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def run_script(self, name, *args, cwd=None):
        return subprocess.run(["sh", str(ROOT / "bench" / name), *map(str, args)], capture_output=True, text=True, cwd=cwd,
                              env={**os.environ, "PATH": f"{self.dir / 'bin'}:{os.environ['PATH']}"}, timeout=900)

    def steps(self):
        with open(self.out / "steps.csv", newline="") as file:
            return {row["step"]: row["status"] for row in csv.DictReader(file)}


class Gpu(Case):
    def test_rehearsal(self):
        self.script("bin/nvidia-smi", NVIDIA_SMI)
        self.script("bin/compute-sanitizer", SANITIZER)
        done = self.run_script("gpu.sh", self.out, "--backend", "cpu", "--build", os.environ["BUILD"], "--tiny", "--seconds",
                               "600", cwd=self.dir)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(done.stderr, "")
        steps = self.steps()
        torch = steps.pop("torch")
        self.assertTrue(torch.startswith("skipped: "), torch)
        self.assertEqual({name: status for name, status in steps.items() if status != "passed"}, {})
        for name in ("conformance", "tests", "sanitizer-racecheck", "sweep-3x4096", "ops", "ops-cholesky", "agreement",
                     "repeat", "accuracy"):
            self.assertIn(name, steps)
        self.assertRegex((self.out / "logs" / "sanitizer-memcheck.log").read_text(), r"\[  PASSED  \] [1-9]")

        root = json.loads((self.out / "results.json").read_text())
        gpu = root["machine"]["gpu"]
        self.assertEqual((gpu["name"], gpu["clocks.sm"], gpu["compute_cap"]), ('NVIDIA "Stand-in"', "345 MHz", "9.0"))
        self.assertTrue(root["machine"]["rehearsal"])
        figures = {f["figure"]: f for f in root["figures"]}
        sweep = json.loads((self.out / "sweep-3x4096.json").read_text())
        figure = figures["sweep of 3 x 4096 on 60,000 over its products"]
        self.assertEqual((figure["measured"], figure["predicted"], figure["verdict"]), (sweep["ratio"], "<= 1.2", "rehearsal"))
        self.assertIsNotNone(figures["box_z relu at 1e8 elements over copy"]["measured"])
        self.assertIsNone(figures["a_step relu at 1e8 elements over copy"]["measured"])
        self.assertEqual(figures["digits mdlam: objective against cpu fp32"]["measured"], 0)
        with open(self.out / "results.csv", newline="") as file:
            self.assertEqual([row["figure"] for row in csv.DictReader(file)], list(figures))
        self.assertTrue(all(row["same"] for row in json.loads((self.out / "repeat.json").read_text())))
        adam = json.loads((self.out / "accuracy.json").read_text())["runs"][0]
        self.assertTrue(all(0 < s <= adam["train_s"] for s in adam["reached"].values()), adam)
        self.assertIn("1980 MHz", (self.out / "clocks.csv").read_text())

    def test_trouble_is_written_down(self):
        """A driver that does not answer, a command that fails, a test that hangs: every step says what became of it."""
        self.script("bin/nvidia-smi", "#!/bin/sh\necho no devices >&2\nexit 9\n")
        self.script("bin/compute-sanitizer", SANITIZER)
        self.script("build/src/altmin", "#!/bin/sh\necho 'altmin: broken' >&2\nexit 3\n")
        self.script("build/tests/kernels/test_conformance", "#!/bin/sh\nexec sleep 100\n")
        done = self.run_script("gpu.sh", self.out, "--backend", "cpu", "--build", self.dir / "build", "--seconds", "10",
                               cwd=self.dir)
        self.assertEqual(done.returncode, 1)
        steps = self.steps()
        self.assertEqual(steps["info"], "failed with exit code 3")
        self.assertRegex(steps["conformance"], r"^out of time after \d+ s$")
        self.assertEqual(steps["sweep-cora"], "skipped: no time left")
        self.assertIn("    altmin: broken", done.stdout)
        root = json.loads((self.out / "results.json").read_text())
        self.assertIsNone(root["machine"]["gpu"]["name"])
        self.assertEqual({f["measured"] for f in root["figures"]}, {None})

    def test_wrong_usage(self):
        for args in ((), ("--tiny",), (self.out, "--second", "5"), (self.out, "--seconds")):
            with self.subTest(args=args):
                done = self.run_script("gpu.sh", *args)
                self.assertEqual(done.returncode, 2)
                self.assertIn("bench/gpu.sh OUTDIR", done.stderr)

    def test_predictions_are_judged(self):
        """On a device the figures get a verdict: made-up results, one on each side of what was predicted."""
        self.out.mkdir()
        (self.out / "steps.csv").write_text("step,status,seconds\n")
        (self.out / "machine.json").write_text('{"rehearsal": false}')
        (self.out / "sweep-3x4096.json").write_text('{"ratio": 1.25}')
        (self.out / "sweep-3x1500.json").write_text('{"sweep_s": 0.0244}')
        (self.out / "ops-elementwise-box_z.json").write_text(
            '{"copy_gb_per_s": 4000, "cases": [{"gb_per_s": 3500}, {"gb_per_s": 3300}]}')
        done = subprocess.run(["python3", "-B", str(ROOT / "bench/gpu_report.py"), "results", "--out", str(self.out)],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = json.loads((self.out / "results.json").read_text())["figures"]
        self.assertEqual([(round(r["measured"], 6), r["verdict"]) for r in rows if r["measured"] is not None],
                         [(1.25, "missed"), (24.4, "held"), (0.825, "missed")])
        self.assertIn("not measured", done.stdout)


class Carry(Case):
    def test_folder(self):
        """Packages whose files are known: links stay inside the tree, what is of no use over there is left out."""
        self.script("bin/apt-get", "#!/bin/sh\ncase \"$*\" in *download*) touch one.deb ;; esac\n")
        self.script("bin/dpkg", """#!/bin/sh
[ "$1" = -x ] && cd "$3" && mkdir -p lib/arch usr/lib/arch usr/include usr/share/doc
echo z >lib/arch/libz.so.1.2 && ln -s libz.so.1.2 lib/arch/libz.so.1 && ln -s /lib/arch/libz.so.1.2 usr/lib/arch/libz.so
echo z >usr/include/zlib.h && echo a >usr/lib/arch/libz.a && ln -s /nowhere usr/lib/arch/lost.so && echo d >usr/share/doc/d
""")
        data = self.dir / "set"
        data.mkdir()
        (data / "train-images-idx3-ubyte").write_bytes(b"x")
        done = self.run_script("carry.sh", "--folder", self.dir / "take along", data)
        self.assertEqual(done.returncode, 0, done.stderr)
        folder = self.dir / "take along"
        self.assertEqual(sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()),
                         ["data/set/train-images-idx3-ubyte", "deps/usr/include/zlib.h", "deps/usr/lib/arch/libz.so",
                          "deps/usr/lib/arch/libz.so.1", "deps/usr/lib/arch/libz.so.1.2"])
        self.assertEqual((folder / "deps/usr/lib/arch/libz.so").read_text(), "z\n")

    def test_trouble(self):
        self.assertEqual(self.run_script("carry.sh", "--folder").returncode, 2)
        done = self.run_script("carry.sh", "--folder", self.dir / "x", self.dir / "nowhere")
        self.assertEqual(done.returncode, 1)
        self.assertIn("nowhere' is not a folder", done.stderr)
        self.script("bin/apt-get", "#!/bin/sh\necho 'E: no network' >&2\nexit 100\n")
        done = self.run_script("carry.sh", "--folder", self.dir / "x")
        self.assertEqual(done.returncode, 1)
        self.assertIn("E: no network", done.stderr)


if __name__ == "__main__":
    unittest.main()
