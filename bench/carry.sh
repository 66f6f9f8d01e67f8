#!/bin/sh
# What a machine without package manager or network needs beside this repository to build altmin and run bench/gpu.sh: the
# libraries it stands on, unpacked from this system's Debian packages, and data sets.
#   bench/carry.sh [--folder DIR] [DATA_DIR...]    DIR: where it goes [carry]; DATA_DIR: folders with IDX or CSV files
# Take DIR along as it is: bench/gpu.sh finds DIR/deps and DIR/data in the repository's folder `carry`. Other builds need
# CMAKE_PREFIX_PATH=DIR/deps/usr and, for what the libraries need themselves, the linker's --disable-new-dtags.
set -eu
usage() { sed -n '2,6s/^# \{0,1\}//p' "$0"; }
folder=carry
while [ $# -gt 0 ]; do
    case $1 in
    --folder) [ $# -ge 2 ] || { usage >&2 && exit 2; }
        folder=$2 && shift 2 ;;
    -h | --help) usage && exit 0 ;;
    -*) usage >&2 && exit 2 ;;
    *) break ;;
    esac
done
for data in "$@"; do
    [ -d "$data" ] || { echo "bench/carry.sh: '$data' is not a folder" >&2 && exit 1; }
done

# Headers and links from -dev, libraries from the others; libgfortran and libquadmath because OpenBLAS is linked with them.
# libgomp is not among them: the compiler over there brings its own, which may be newer than ours.
packages="libopenblas-openmp-dev libopenblas0-openmp libgfortran5 libquadmath0 libcjson-dev libcjson1 zlib1g-dev zlib1g
librandom123-dev libcmocka-dev libcmocka0"

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# apt drops to a user of its own, who must be able to write there; as root it may.
# shellcheck disable=SC2086  # a list of words
(cd "$scratch" && apt-get -q -o APT::Sandbox::User=root download $packages >apt.log 2>&1) || {
    cat "$scratch/apt.log" >&2
    echo "bench/carry.sh: apt-get download failed (apt-get update may help)" >&2
    exit 1
}

rm -rf "$folder/deps"
mkdir -p "$folder/deps"
for package in "$scratch"/*.deb; do dpkg -x "$package" "$folder/deps"; done
cd "$folder/deps"
# One tree: packages of before the merge of / and /usr ship /lib apart.
if [ -d lib ]; then cp -a lib/. usr/lib/ && rm -rf lib; fi
# Links to absolute places point out of the tree: to the file of the same name beside them instead.
find usr -type l | while read -r link; do
    case $(readlink "$link") in
    /*) ln -sf "$(basename "$(readlink "$link")")" "$link" ;;
    esac
done
# Static libraries, documents, the BLAS and LAPACK that OpenBLAS holds already: most of the size, none of the use.
find usr -name '*.a' -delete
find usr/lib -name 'lib*blas.so.3' ! -name '*openblas*' -delete
find usr/lib -name 'liblapack.so.3' -delete
rm -rf usr/share etc
find . -xtype l -delete
cd "$folder"

for data in "$@"; do
    mkdir -p "data/$(basename "$data")"
    cp -L "$data"/* "data/$(basename "$data")/"
done
du -sk deps data 2>/dev/null | awk '{ printf "%-6s %6.1f MiB\n", $2, $1 / 1024 }'
