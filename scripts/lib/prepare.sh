# Sourced by scripts/demo and scripts/test, at the root of the checkout. POSIX sh.

say() {
  printf '%s\n' "$*" >&2
}

fail() {
  say "$*"
  exit 1
}

# The one place that names the version: package.json's packageManager.
wanted_bun() {
  sed -n 's/^ *"packageManager": *"bun@\([^"]*\)".*/\1/p' package.json
}

# Succeeds if $1 is a Bun of version $2.
is_bun() {
  [ "$("$1" --version 2>/dev/null)" = "$2" ]
}

# Bun from npm, inside the checkout: the platform's own package holds the executable, so nothing
# depends on whether npm runs install scripts.
fetch_bun() {
  command -v npm >/dev/null ||
    fail "Neither Bun $1 nor npm is here. Install Node.js with npm, or Bun $1."
  say "Getting Bun $1 into .bun/ ..."
  npm install --prefix .bun --no-save --no-package-lock --ignore-scripts --no-audit --no-fund \
    --loglevel=error "bun@$1" >&2 || fail "npm could not get Bun $1."
  mkdir -p .bun/bin
  for candidate in "$PWD"/.bun/node_modules/@oven/bun-*/bin/bun; do
    if is_bun "$candidate" "$1"; then
      ln -sf "$candidate" .bun/bin/bun
      return
    fi
  done
  fail "npm got Bun $1, but it does not run on this machine."
}

# Leaves the pinned Bun in PATH, the dependencies installed and ./lmproxy built.
prepare() {
  version=$(wanted_bun)
  if ! is_bun bun "$version"; then
    is_bun .bun/bin/bun "$version" || fetch_bun "$version"
    PATH="$PWD/.bun/bin:$PATH"
    export PATH
  fi
  say "Installing dependencies with Bun $version ..."
  bun install --frozen-lockfile --silent >&2 || fail "The dependencies could not be installed."
  say "Building ./lmproxy ..."
  bun scripts/build.ts >&2 || fail "./lmproxy could not be built."
}
