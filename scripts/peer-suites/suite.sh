# Sourced by the scripts beside it: a router's integration suite, unmodified, with lmproxy in the router's place.

tests=py_test/integration

# run_suite ROUTER FOLDER LMPROXY [pytest's arguments]: the suite in FOLDER starts
# `python3 -m ROUTER.launch_router` (with _ for -), and that is `lmproxy --as ROUTER`. Leaves out what the
# array `different` names, below $tests.
run_suite() {
  local router=$1 folder=$2 lmproxy work
  lmproxy=$(realpath "$3")
  shift 3
  [ -x "$lmproxy" ] || { echo "no executable $lmproxy: bun run build" >&2; return 2; }
  [ -d "$folder/$tests" ] || { echo "no suite: $folder/$tests" >&2; return 2; }
  work=$(mktemp -d)
  # shellcheck disable=SC2064 # the folder of this call
  trap "rm -rf '$work'" RETURN

  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    pytest==9.0.2 pytest-timeout==2.4.0 requests==2.32.5 fastapi==0.128.0 uvicorn==0.40.0 cryptography==46.0.3

  mkdir -p "$work/shim/${router//-/_}"
  touch "$work/shim/${router//-/_}/__init__.py"
  cat > "$work/shim/${router//-/_}/launch_router.py" <<PYTHON
import os
import sys

lmproxy = os.environ["LMPROXY"]
os.execv(lmproxy, [lmproxy, "--as", "$router", "--disable-cache-status", *sys.argv[1:]])
PYTHON

  (
    cd "$folder"
    LMPROXY="$lmproxy" PYTHONPATH="$work/shim" PATH="$work/venv/bin:$PATH" \
      python3 -m pytest -q --timeout 120 -p no:cacheprovider \
      "${different[@]/#/--deselect=$tests/}" "$tests" "$@"
  )
}
