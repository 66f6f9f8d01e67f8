#!/bin/sh
# Everything a machine with an NVIDIA GPU can tell about altmin, in under nine minutes: build for its GPU, the tests on the
# device, compute-sanitizer over the conformance test, operations, solvers, sweeps, agreement of GPU and CPU, time to
# accuracy, and PyTorch's Adam beside it where Python has torch. bench/README.md explains how to read what it leaves.
#   bench/gpu.sh OUTDIR [--seconds S] [--data DIR] [--backend NAME] [--build DIR] [--tiny]
#     --seconds S      time for all of it [520]
#     --data DIR       folder with an image set's four IDX files [carry/data/*, else Fashion-MNIST's package, else digits]
#     --backend NAME   what is tested and measured [cuda]; cpu rehearses everything on a machine without a GPU
#     --build DIR      a finished build with tests, instead of making one in build/gpu
#     --tiny           sizes of a rehearsal: the figures mean nothing
# Every step has a limit; one that fails or runs out of time is written down with the reason, and the next one starts.
set -u
usage() { sed -n '2,11s/^# \{0,1\}//p' "$0"; }
[ $# -ge 1 ] || { usage >&2 && exit 2; }
case $1 in -h | --help) usage && exit 0 ;; -*) usage >&2 && exit 2 ;; esac
mkdir -p "$1/logs" || exit 1
out=$(cd "$1" && pwd) && shift
budget=520 data="" backend=cuda build="" tiny=""
while [ $# -gt 0 ]; do
    [ "$1" = --tiny ] || [ $# -ge 2 ] || { usage >&2 && exit 2; }
    case $1 in
    --seconds) budget=$2 && shift ;;
    --data) data=$(cd "$2" && pwd) && shift || exit 1 ;;
    --backend) backend=$2 && shift ;;
    --build) build=$(cd "$2" && pwd) && shift || exit 1 ;;
    --tiny) tiny=--tiny ;;
    *) usage >&2 && exit 2 ;;
    esac
    shift
done
cd "$(dirname "$0")/.." || exit 1
start=$(date +%s)
n_failed=0
cases='*' suites='kernels|steps|methods' # of the conformance test, of ctest
[ -z "$tiny" ] || cases='*copy*' suites=steps
deps=$PWD/carry/deps/usr
[ -n "$data$tiny" ] || for folder in "$PWD"/carry/data/* /usr/share/datasets/fashion-mnist; do
    [ -n "$data" ] || ! ls "$folder"/train-images-idx3-ubyte* >/dev/null 2>&1 || data=$folder
done

# ---------------------------------------------------------------------------------------------------------------- steps

left() { echo $((budget - $(date +%s) + start)); }

# note NAME STATUS SECONDS: one line in OUTDIR/steps.csv and on the terminal.
note() {
    echo "$1,$2,$3" >>"$out/steps.csv"
    printf '%-26s %4s s  %s\n' "$1" "$3" "$2"
}

# step NAME LIMIT_S COMMAND...: its output goes to OUTDIR/logs/NAME.log. Returns 1 unless it passed.
step() {
    name=$1 limit=$2 && shift 2
    [ "$limit" -le "$(left)" ] || limit=$(left)
    if [ "$limit" -lt 3 ]; then
        note "$name" "skipped: no time left" 0
        return 1
    fi
    began=$(date +%s)
    timeout -k 5 "$limit" "$@" >"$out/logs/$name.log" 2>&1 </dev/null
    code=$?
    spent=$(($(date +%s) - began))
    case $code in
    0) note "$name" passed $spent && return 0 ;;
    124 | 137) note "$name" "out of time after $limit s" $spent ;;
    *) note "$name" "failed with exit code $code" $spent && tail -n 8 "$out/logs/$name.log" | sed 's/^/    /' ;;
    esac
    n_failed=$((n_failed + 1))
    return 1
}

skip() { note "$1" "skipped: $2" 0; }

# ---------------------------------------------------------------------------------------------------------------- build

# Libraries: those unpacked in carry/deps where that is there, else the system's, installed if they are missing.
configure() {
    if [ -d "$deps" ]; then
        set -- -DCMAKE_PREFIX_PATH="$deps" -DCMAKE_EXE_LINKER_FLAGS=-Wl,--disable-new-dtags
    else
        . tests/packages.sh
        # shellcheck disable=SC2086  # lists of words
        altmin_install $altmin_build_packages $altmin_test_packages || return 1
        set --
    fi
    command -v ninja >/dev/null && set -- -G Ninja "$@"
    cuda=ON
    [ "$backend" = cuda ] || cuda=OFF
    cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DALTMIN_CUDA=$cuda -DALTMIN_TESTS=ON -DALTMIN_TEST_EMULATOR=OFF "$@"
}

make_build() {
    build=$PWD/build/gpu
    PATH=$PATH:/usr/local/cuda/bin
    [ -n "${CUDACXX:-}" ] || [ ! -x /usr/local/cuda/bin/nvcc ] || export CUDACXX=/usr/local/cuda/bin/nvcc
    # configure is a function of this shell, which timeout cannot run
    began=$(date +%s)
    if configure >"$out/logs/configure.log" 2>&1 </dev/null; then
        note configure passed $(($(date +%s) - began))
    else
        note configure failed $(($(date +%s) - began))
        tail -n 20 "$out/logs/configure.log"
        return 1
    fi
    step build 210 cmake --build "$build" -j "$(nproc)"
}

# ---------------------------------------------------------------------------------------------------------------- tests

# The device's clocks and load every two seconds, until the script ends.
watch_clocks() {
    query=timestamp,clocks.sm,clocks.mem,power.draw,temperature.gpu,utilization.gpu
    nvidia-smi --query-gpu=$query --format=csv -l 2 >"$out/clocks.csv" 2>/dev/null &
    watcher=$!
    trap 'kill $watcher 2>/dev/null' EXIT
}

run_tests() {
    step info 20 "$altmin" info --json
    step conformance 60 "$build/tests/kernels/test_conformance" --backend "$backend" --filter "$cases"
    step tests 60 env ALTMIN_TEST_BACKEND="$backend" ctest --test-dir "$build" -L "$suites" -E '^conformance$' \
        --no-tests=error --output-on-failure -j 8
}

# racecheck slows kernels a hundred times: the shapes of the conformance test are small.
run_sanitizer() {
    if ! command -v compute-sanitizer >/dev/null; then
        skip sanitizer "no compute-sanitizer in this toolkit"
        return
    fi
    for tool in memcheck racecheck initcheck synccheck; do
        step "sanitizer-$tool" 30 compute-sanitizer --tool $tool --error-exitcode 9 \
            "$build/tests/kernels/test_conformance" --backend "$backend" --filter "$cases"
    done
}

# ------------------------------------------------------------------------------------------------------------ measuring

ops() {
    name=$1 && shift
    step "$name" 30 "$altmin" bench ops --backend "$backend" --json "$out/$name.json" "$@"
}

# What a kind of operation reaches, products in every precision, solvers, and elementwise passes at 1e8 elements.
run_ops() {
    many=30000 elements=100000 width=1000 widths=300 big=1500,4096 seconds=0.02
    precisions="fp32 tf32 bf16" solvers="cholesky solve" maps="box_z a_step residual_keep"
    if [ -n "$tiny" ]; then
        many=50 elements=500 width=20 widths=16 big=16,33 seconds=0 precisions=fp32 solvers=cholesky maps=box_z
    fi
    ops ops --samples $many --widths $widths --seconds $seconds
    for precision in $precisions; do
        ops ops-gemm-$precision --samples $many --widths $big --seconds 0.1 --filter "gemm NN" --precision $precision
    done
    ops ops-gram --samples $many --widths $big --seconds 0.1 --filter "gram N"
    for kind in $solvers; do
        ops ops-$kind --widths "100,300,$big" --samples $many --seconds $seconds --filter $kind
    done
    for map in $maps; do
        ops ops-elementwise-$map --samples $elements --widths $width --seconds $seconds --filter "$map relu"
    done
}

# sweep NAME SHAPE HIDDEN MORE...
sweep() {
    name=$1 shape=$2 hidden=$3 && shift 3
    step "$name" 45 "$altmin" bench sweep --backend "$backend" --shape "$shape" --hidden "$hidden" --json "$out/$name.json" \
        "$@"
}

run_sweeps() {
    if [ -n "$tiny" ]; then
        sweep sweep-3x4096 300,20,4 16,16,16 --sweeps 4
        sweep sweep-3x1500 300,20,4 16,16,16 --sweeps 4
        sweep sweep-cora 40,80,7 10,10 --form sample --sweeps 4
        return
    fi
    sweep sweep-3x4096 60000,784,10 4096,4096,4096 --sweeps 16
    sweep sweep-3x1500 60000,784,10 1500,1500,1500 --sweeps 30
    sweep sweep-cora 140,7165,7 100,100 --sweeps 200
}

# python NAME LIMIT SCRIPT ARGUMENTS...
python() {
    name=$1 limit=$2 && shift 2
    step "$name" "$limit" python3 -B "$@"
}

run_runs() {
    set -- --altmin "$altmin" --backend "$backend" --out "$out" ${data:+--data "$data"} $tiny
    python agreement 60 bench/gpu_runs.py agreement "$@"
    python repeat 20 bench/gpu_runs.py repeat "$@"
    python accuracy 70 bench/gpu_runs.py accuracy "$@"
}

run_torch() {
    if ! python3 -c 'import torch' 2>/dev/null; then
        skip torch "Python has no torch"
    elif ! python3 -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
        skip torch "torch sees no GPU"
    elif [ -z "$data" ]; then
        skip torch "no image set (--data DIR)"
    else
        python torch 50 bench/torch_adam.py --data "$data" --json "$out/torch.json"
    fi
}

# ---------------------------------------------------------------------------------------------------------------- all

rm -f "$out"/*.json "$out"/*.csv "$out"/logs/*.log # an older run's would pass for this one's
echo "step,status,seconds" >"$out/steps.csv"
python3 -B bench/gpu_report.py machine --out "$out" --backend "$backend" $tiny || exit 1
if [ -z "$build" ]; then make_build || n_failed=-1; fi
altmin=$build/src/altmin
if [ $n_failed -ge 0 ]; then
    watch_clocks
    run_tests
    run_sanitizer
    run_sweeps
    run_ops
    run_runs
    run_torch
fi
python3 -B bench/gpu_report.py results --out "$out"
echo "$(($(date +%s) - start)) s; results in $out"
[ $n_failed -eq 0 ]
