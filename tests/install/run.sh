#!/bin/sh
# Install altmin into a temporary prefix and use it from there as others would: the command, find_package with the shared
# and with the static library, and pkg-config. The program is the README's library example, cut out of the README.
# Usage: run.sh BUILD_DIR SOURCE_DIR C_COMPILER CMAKE GENERATOR
set -eu
build=$1 source=$2 cc=$3 cmake=$4 generator=$5
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
prefix=$dir/prefix

"$cmake" --install "$build" --prefix "$prefix" >"$dir/install.log" || { cat "$dir/install.log" && exit 1; }
# Elsewhere than where it was installed: nothing may remember the prefix.
mv "$prefix" "$dir/moved" && prefix=$dir/moved
libdir=$(dirname "$(find "$prefix" -name libaltmin.so)")

awk '/^```/ { if (inside) exit; inside = /^```c$/; next } inside' "$source/README.md" >"$dir/example.c"
grep -q 'int main' "$dir/example.c" || { echo "the README has no library example" && exit 1; }

# Run an example program; it must train, say so and leave a model that the installed command reads.
check() {
    (cd "$dir" && rm -f digits.safetensors && "$1") >"$dir/out" || { echo "$1 failed" && cat "$dir/out" && exit 1; }
    grep -q 'test accuracy 0\.[89]' "$dir/out" || { echo "$1 said:" && cat "$dir/out" && exit 1; }
    LD_LIBRARY_PATH=$libdir "$prefix/bin/altmin" eval "$dir/digits.safetensors" --data digits >/dev/null
    echo "$2: $(tail -1 "$dir/out")"
}

mkdir "$dir/consumer"
cp "$source/tests/install/consumer.cmake" "$dir/consumer/CMakeLists.txt"
cp "$dir/example.c" "$dir/consumer/"
CC=$cc "$cmake" -G "$generator" -S "$dir/consumer" -B "$dir/consumer/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_BUILD_TYPE=Release \
    >"$dir/consumer.log" 2>&1 &&
    "$cmake" --build "$dir/consumer/build" >>"$dir/consumer.log" 2>&1 || { cat "$dir/consumer.log" && exit 1; }
check "$dir/consumer/build/example_shared" "find_package, shared"
check "$dir/consumer/build/example_static" "find_package, static"

export PKG_CONFIG_PATH="$libdir/pkgconfig"
# shellcheck disable=SC2046  # lists of flags
$cc -std=c11 -Wall -Wextra -Wpedantic -Werror "$dir/example.c" -o "$dir/example_pc" $(pkg-config --cflags --libs altmin) -Wl,-rpath,"$libdir"
check "$dir/example_pc" "pkg-config"
[ "$("$prefix/bin/altmin" --version)" = "altmin $(pkg-config --modversion altmin)" ]
