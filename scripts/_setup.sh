# Makes .venv with seqlab, pinned by constraints.txt. Sourced by the other scripts; safe to repeat.
cd "$(dirname "${BASH_SOURCE[0]}")/.."

find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3.14 python3; do
    if command -v "$candidate" >/dev/null &&
      "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "scripts: no Python 3.11 to 3.14 found; install one, or set PYTHON" >&2
  return 1
}

DATASETS=plugins/seqlab-datasets

# is_newer STAMP PATH...: whether STAMP is there and younger than every file
is_newer() {
  local stamp=$1
  shift
  [[ -f $stamp && -z $(find "$@" -newer "$stamp" -type f -not -path '*/__pycache__/*' | head -n 1) ]]
}

# set_up [EXTRA]: installs seqlab, with an extra if named, editable, and the data sets of the
# experiments, unless nothing has changed
set_up() {
  local extra=${1:-} stamp=.venv/.seqlab-${1:-base} python
  if [[ ! -x .venv/bin/python ]]; then
    python=$(find_python)
    echo "Making .venv with $("$python" --version) ..."
    "$python" -m venv .venv
  fi
  if is_newer "$stamp" pyproject.toml constraints.txt $DATASETS; then
    return
  fi
  echo "Installing seqlab and what it needs (a few minutes the first time) ..."
  # an old pip says that it builds what has no wheel in a deprecated way; newer ones do not know this
  local -x PIP_USE_PEP517=1
  # what pip would compile file after file is compiled beside what comes next: `compiled` waits
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile \
    --constraint constraints.txt --editable ".${extra:+[$extra]}"
  # in a step of its own: with an extra, pip looks for its seqlab in the index
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps "./$DATASETS"
  rm -rf "$DATASETS/build"
  .venv/bin/python -W ignore -m compileall -q .venv/lib >/dev/null 2>&1 &
  compiling=$!
  touch "$stamp"
}

# compiled: waits until set_up's packages are compiled; some files are templates, which fail
compiled() {
  [[ -z ${compiling:-} ]] || wait "$compiling" || true
}

# install_plugins: every distribution in plugins/, as an ordinary user would install it
install_plugins() {
  local stamp=.venv/.seqlab-plugins
  if is_newer "$stamp" pyproject.toml plugins; then
    return
  fi
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
    --no-build-isolation --force-reinstall plugins/*/
  rm -rf plugins/*/build
  touch "$stamp"
}
