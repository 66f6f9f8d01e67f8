#!/bin/sh
# Everything a machine with an NVIDIA GPU can tell about altmin, in under nine minutes: build for its GPU, the tests on the
# device, compute-sanitizer over the conformance test, speed and agreement of runs on GPU and CPU, and PyTorch's Adam beside
# them where Python has torch. bench/README.md explains how to read what it leaves in OUTDIR.
#   bench/gpu.sh OUTDIR [SECONDS]      SECONDS: time for all of it [520]
# Every step has a limit; one that fails or runs out of time is written down, and the next one starts.
set -u
[ $# -ge 1 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2 && exit 2; }
mkdir -p "$1" || exit 1
out=$(cd "$1" && pwd)
budget=${2:-520}
cd "$(dirname "$0")/.." || exit 1
. tests/packages.sh
start=$(date +%s)
build=build/gpu
altmin=$build/src/altmin
n_failed=0

left() { echo $((budget - $(date +%s) + start)); }

# step NAME LIMIT_S COMMAND...: output to OUTDIR/NAME.log, one line in OUTDIR/steps.csv.
step() {
    name=$1 limit=$2 && shift 2
    [ "$limit" -le "$(left)" ] || limit=$(left)
    began=$(date +%s)
    if [ "$limit" -lt 5 ]; then
        status=skipped
    elif timeout "$limit" "$@" >"$out/$name.log" 2>&1; then
        status=passed
    else
        code=$?
        status=failed
        [ $code -ne 124 ] || status="out of time"
        n_failed=$((n_failed + 1))
    fi
    echo "$name,$status,$(($(date +%s) - began))" >>"$out/steps.csv"
    printf '%-28s %s\n' "$name" "$status"
    [ "$status" = passed ]
}

# Device, driver, clocks and commit, as JSON: without them a number means nothing.
describe_machine() {
    query=name,driver_version,memory.total,clocks.max.sm,clocks.max.mem,clocks.sm,clocks.mem,power.limit,compute_cap
    commit=$(git rev-parse HEAD 2>/dev/null || echo unknown)
    dirty=$(git status --porcelain 2>/dev/null | grep -qv '^??' && echo true || echo false)
    toolkit=$("${CUDACXX:-nvcc}" --version 2>/dev/null | sed -n 's/.*release \([0-9.]*\).*/\1/p')
    cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
    printf '{"time": "%s", "commit": "%s", "dirty": %s, "toolkit": "%s", "cpu": "%s", "cores": %s, "query": "%s", "gpu": "%s"}\n' \
        "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$commit" "$dirty" "$toolkit" "$cpu" "$(nproc)" "$query" \
        "$(nvidia-smi --query-gpu=$query --format=csv,noheader 2>/dev/null | head -n 1)" >"$out/machine.json"
}

configure() {
    # shellcheck disable=SC2086  # lists of words
    altmin_install $altmin_build_packages $altmin_test_packages || return 1
    cmake -S . -B $build -G Ninja -DCMAKE_BUILD_TYPE=Release -DALTMIN_CUDA=ON -DALTMIN_TESTS=ON
}

sanitize() {
    compute-sanitizer --tool "$1" --error-exitcode 9 $build/tests/kernels/test_conformance --backend cuda --filter "$2"
}

PATH=$PATH:/usr/local/cuda/bin
[ -n "${CUDACXX:-}" ] || [ ! -x /usr/local/cuda/bin/nvcc ] || CUDACXX=/usr/local/cuda/bin/nvcc
export PATH CUDACXX
[ -f "$out/steps.csv" ] && mv "$out/steps.csv" "$out/steps.csv.old"
echo "step,status,seconds" >"$out/steps.csv"
describe_machine

if [ "${ALTMIN_GPU_REHEARSAL:-}" ]; then # the same steps with an altmin that is built already, on a machine without a GPU
    altmin=$ALTMIN_GPU_REHEARSAL
else
    configure >"$out/configure.log" 2>&1 || { cat "$out/configure.log" && exit 1; }
    step build 240 cmake --build $build -j "$(nproc)" || { tail -n 30 "$out/build.log" && exit 1; }
    nvidia-smi >"$out/nvidia-smi.txt" 2>&1
    step info 20 $altmin info
    step conformance 60 $build/tests/kernels/test_conformance --backend cuda
    step tests 60 ctest --test-dir $build -LE "emulator|cli|install|io" -E conformance --output-on-failure -j 4
fi

seconds=$(($(left) < 150 ? $(left) - 8 : 140))
step runs 150 python3 bench/gpu_runs.py --altmin "$altmin" --out "$out" --seconds $seconds ||
    tail -n 5 "$out/runs.log"
if python3 -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
    step torch 60 python3 bench/torch_adam.py --json "$out/torch.json"
else
    echo "torch,skipped (Python has no torch that sees a GPU),0" >>"$out/steps.csv"
fi

# Last, because it takes what time is left. Small shapes: racecheck slows kernels a hundred times.
if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck initcheck synccheck; do
        step "sanitize-$tool" 45 sanitize $tool '*'
    done
else
    echo "sanitize,skipped (no compute-sanitizer in this toolkit),0" >>"$out/steps.csv"
fi

echo "$n_failed steps failed; $(($(date +%s) - start)) s; results in $out"
[ $n_failed -eq 0 ]
