#!/bin/sh
# Time to accuracy on MNIST and Fashion-MNIST, 784-300-300-10: builds altmin, runs `altmin bench tta` (and PyTorch's Adam where
# Python has torch), leaves tta.md, tta.json and a plot of each set in OUTDIR. `bench/tta/run.sh OUTDIR`; `--help` lists the
# options, `--quick` is a smoke run.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$(dirname "$here")")
. "$root/tests/packages.sh"
. "$root/bench/build.sh"

bench_check "$here/tta.py" "$@"
case " $* " in *" --altmin"*) ;; *) bench_build tta.log && set -- --altmin "$build/src/altmin" "$@" ;; esac
exec python3 "$here/tta.py" "$@"
