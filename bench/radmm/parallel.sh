#!/bin/bash
# Sweep rate of residual ADMM: serial with one thread, serial with all (inside every product), wavefront with all (over blocks).
#
#   bench/radmm/parallel.sh ALTMIN [BLOCKS [WIDTH [ROUNDS]]]     defaults 16 blocks of 200, 5 rounds
#
# Every round runs the three in turn on the embedded digits, so that what disturbs the machine disturbs all; the table has each
# one's median and best time per sweep and the ratio of medians to serial with one thread. PREFIX="chrt -f 10" runs them ahead
# of other processes where that is allowed. Objectives are compared too: the orders give the same bits.
set -euo pipefail
altmin=$1 blocks=${2:-16} width=${3:-200} rounds=${4:-5} sweeps=48
threads=${THREADS:-$(nproc)}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# measure NAME ARGS...: milliseconds per sweep, one line in $out/NAME
measure() {
    local name=$1
    shift
    ${PREFIX:-} env -u OPENBLAS_CORETYPE "$altmin" train --method radmm --data digits --valid 0 --hidden "${blocks}x$width" \
        --sweeps $sweeps --eval-every $sweeps --log "$out/log" -o "$out/model.safetensors" "$@" >"$out/text"
    sed -n 's/^time *\([0-9.]*\) s training.*/\1/p' "$out/text" | awk -v n=$sweeps '{print 1000 * $1 / n}' >>"$out/$name"
    awk -v last=$sweeps '$1 == last {print $3}' "$out/text" >>"$out/objective"
}

for _ in $(seq "$rounds"); do
    measure serial-1 --order serial --threads 1
    measure serial-all --order serial --threads "$threads"
    measure wavefront --order wavefront --threads "$threads"
done
if [ "$(sort -u "$out/objective" | wc -l)" != 1 ]; then
    echo "the orders disagree: $(sort -u "$out/objective" | tr '\n' ' ')" >&2
    exit 1
fi
echo "residual ADMM, $blocks blocks of $width on digits (1,437 samples), $threads threads, $rounds rounds of $sweeps sweeps"
printf '%-22s %14s %14s %10s\n' order 'median ms' 'best ms' 'speed-up'
for name in serial-1 serial-all wavefront; do
    sort -n "$out/$name" >"$out/sorted"
    median=$(sed -n "$(((rounds + 1) / 2))p" "$out/sorted")
    [ $name = serial-1 ] && first=$median
    printf '%-22s %14.2f %14.2f %10.2f\n' "$name" "$median" "$(head -1 "$out/sorted")" \
        "$(awk -v a="$first" -v b="$median" 'BEGIN {print a / b}')"
done
