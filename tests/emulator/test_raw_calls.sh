#!/bin/sh
# No call of CUDA, cuBLAS or cuSOLVER, and no launch, goes unchecked: each stands inside one of the wrappers of context.h.
#   test_raw_calls.sh FOLDER
# Comments, strings and preprocessor lines are taken out first; a call is checked when its wrapper's opening bracket
# encloses it, wherever the line breaks are.
set -eu
python3 - "$1" <<'PY'
import pathlib, re, sys

WRAPPERS = {"AM_CUDA", "AM_CUDA_QUIET", "AM_BLAS", "AM_SOLVER"}
CALL = re.compile(r"\b(cuda[A-Z]\w*|cublas[A-Z]\w*|cusolver[A-Z]\w*)\s*\(")
ON_DEVICE = {"cudaGraphSetConditional"}
failures = []

def without_comments(text):
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), text, flags=re.S)
    text = re.sub(r'"(\\.|[^"\\])*"', '""', text)
    return re.sub(r"(?m)^\s*#.*(\\\n.*)*$", lambda m: "\n" * m.group().count("\n"), text)

def enclosing_names(text, at):
    """Names in front of the brackets that are open at `at`."""
    names, depth = set(), 0
    for i in range(at - 1, -1, -1):
        c = text[i]
        if c == ")":
            depth += 1
        elif c == "(":
            if depth:
                depth -= 1
            else:
                name = re.search(r"(\w+)\s*$", text[:i])
                names.add(name.group(1) if name else "")
        elif c in ";{}" and depth == 0:
            break
    return names

files = sorted(pathlib.Path(sys.argv[1]).glob("*.[ch]*"))
n_checked = 0
for path in files:
    raw = path.read_text()
    text = without_comments(raw)
    for m in CALL.finditer(text):
        if m.group(1) in ON_DEVICE:
            continue
        n_checked += 1
        if not enclosing_names(text, m.start()) & WRAPPERS:
            failures.append(f"{path.name}:{text.count(chr(10), 0, m.start()) + 1}: {m.group(1)} goes unchecked")
    if path.name not in ("base.h", "context.h"):
        for number, line in enumerate(text.split("\n"), 1):
            if "<<<" in line or "AM_KERNEL_LAUNCH" in line:
                failures.append(f"{path.name}:{number}: a launch that is not an AM_LAUNCH")
if n_checked < 40:
    failures.append(f"only {n_checked} calls found in {sys.argv[1]}: is this the backend's folder?")
print("\n".join(failures) if failures else f"{n_checked} calls, all checked")
sys.exit(bool(failures))
PY
