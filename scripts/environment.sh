# Sourced by run and test: makes .venv in the checkout and keeps it as pyproject.toml says.
# Everything said here goes to standard error: standard output belongs to the command that follows.

root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv

say() {
  printf '%s\n' "$*" >&2
}

# Prints the first interpreter that is new enough and can make an environment.
find_python() {
  local name
  for name in ${TANIST_PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python; do
    if "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      printf '%s\n' "$name"
      return 0
    fi
  done
  say "Python 3.11 or newer with its venv module is needed and was not found."
  say "On Debian: apt-get install python3 python3-venv. Or name one in TANIST_PYTHON."
  return 1
}

# The place belongs to the stamp: the commands of an environment hold absolute paths.
stamp_of() {
  printf '%s\n' "$root"
  cksum <"$root/pyproject.toml"
  cksum <"$root/constraints.txt"
}

is_ready() {
  local stamp=$venv/stamp-$1
  [ -r "$stamp" ] && [ "$(<"$stamp")" = "$(stamp_of)" ] && "$venv/bin/python" -c '' 2>/dev/null
}

# install EXTRA: `run` for the package alone, `test` for the checks too.
install() {
  local target=$root python
  [ "$1" = run ] || target="$root[$1]"
  if [ ! -r "$venv/place" ] || [ "$(<"$venv/place")" != "$root" ] ||
    ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python) || return 1
    say "Making $venv with $("$python" --version 2>&1)."
    "$python" -m venv --clear "$venv" >&2 || return 1
    printf '%s\n' "$root" >"$venv/place"
  fi
  rm -f "$venv"/stamp-*
  say "Installing Tanist${2:-}; this takes a minute the first time."
  # No build isolation: an isolated build would take a setuptools that is not pinned.
  "$venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check \
    --constraint "$root/constraints.txt" setuptools >&2 || return 1
  "$venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check \
    --constraint "$root/constraints.txt" --no-build-isolation --editable "$target" >&2 || return 1
  stamp_of >"$venv/stamp-run"
  [ "$1" = run ] || stamp_of >"$venv/stamp-$1"
}

# prepare EXTRA [WORDS]: returns at once if nothing changed; two at a time wait for each other.
prepare() {
  is_ready "$1" && return 0
  if command -v flock >/dev/null 2>&1; then
    (
      flock 9
      is_ready "$1" || install "$@"
    ) 9>"$root/.venv.lock"
  else
    install "$@"
  fi
}
