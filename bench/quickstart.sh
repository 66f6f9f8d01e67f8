#!/bin/sh
# From a bare Debian 12 or Ubuntu 24.04 to a trained model: install what is missing, build, train the main job
# (Fashion-MNIST, two hidden layers of 300; the embedded digits where Fashion-MNIST is not to be had), evaluate.
# Usage: bench/quickstart.sh [more options of `altmin train`]
set -eu
cd "$(dirname "$0")/.."
. tests/packages.sh

# Fashion-MNIST is a Debian package, but not in every release; without it the digits serve.
have_fashion_mnist() {
    [ -e /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz ] ||
        { apt-cache show dataset-fashion-mnist >/dev/null 2>&1 && altmin_install dataset-fashion-mnist; }
}

# shellcheck disable=SC2086  # a list of words
altmin_install $altmin_build_packages
mkdir -p build
cmake --preset release -DALTMIN_TESTS=OFF >build/quickstart.log 2>&1 || { cat build/quickstart.log && exit 1; }
cmake --build build/release --target altmin_cli >>build/quickstart.log 2>&1 || { cat build/quickstart.log && exit 1; }
altmin=build/release/src/altmin

if have_fashion_mnist; then
    data=fashion-mnist
    # exact weight steps; ridge and start of eps chosen on held-out training samples
    set -- --hidden 300,300 --step exact --mu 0.1 --eps-start 1 --sweeps 40 --eval-every 5 "$@"
else
    data=digits
    echo "Fashion-MNIST is not here (package dataset-fashion-mnist): training on the embedded digits"
fi
model=build/$data.safetensors
set -x
$altmin train --data $data "$@" -o "$model"
$altmin eval "$model" --data $data
