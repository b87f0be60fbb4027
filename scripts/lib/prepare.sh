# Sourced by scripts/demo, scripts/soak and scripts/test, at the root of the checkout. POSIX sh.

# How long a registry may stay silent, and how long we do, s.
PATIENCE=${PATIENCE:-12}
WORD_EVERY=3

say() {
  printf '%s\n' "$*" >&2
}

fail() {
  say "$*"
  exit 1
}

# Shows what stands at the head of the script that sources this, where that is asked for.
help_if_asked() {
  for word; do
    case $word in
      -h | --help)
        sed -n '2,/^[^#]/s/^# \{0,1\}//p' "scripts/$(basename "$0")"
        exit 0
        ;;
    esac
  done
}

# The one place that names the version: package.json's packageManager.
wanted_bun() {
  sed -n 's/^ *"packageManager": *"bun@\([^"]*\)".*/\1/p' package.json
}

# Succeeds if $1 is a Bun of version $2.
is_bun() {
  [ "$("$1" --version 2>/dev/null)" = "$2" ]
}

# What to do when what is needed does not come.
fail_without_registry() {
  say "What is needed could not be fetched from the npm registry. Ways on:"
  say "  - behind a proxy: HTTPS_PROXY=http://HOST:PORT scripts/demo"
  say "  - behind one that opens TLS: NODE_EXTRA_CA_CERTS=FILE scripts/demo, with its certificate (PEM)"
  say "  - another registry: npm_config_registry=https://HOST/ scripts/demo"
  say "  - fetched elsewhere: Bun $1 (https://bun.sh) in PATH, and node_modules beside package.json"
  [ ! -x ./lmproxy ] || say "  - what was built before: ./lmproxy demo"
  exit 1
}

# Says every few seconds that process $1 goes on with $3, and ends it when $2 finds that the registry
# is silent. Runs until it is killed.
keep_company() {
  job=$1 probe=$2 what=$3 waited=0 child='' prober=''
  trap 'kill $child $prober 2>/dev/null; exit 0' TERM
  while :; do
    sleep "$WORD_EVERY" &
    child=$!
    wait "$child"
    waited=$((waited + WORD_EVERY))
    say "  ... $what, $waited s"
    if [ -z "$prober" ]; then
      ($probe || kill "$job") >/dev/null 2>&1 &
      prober=$!
    fi
  done
}

# Runs a command in company; its last words are shown when it fails.
#   with_company PROBE "what goes on" COMMAND...
with_company() {
  probe=$1 what=$2
  shift 2
  log=$(mktemp)
  "$@" >"$log" 2>&1 &
  job=$!
  keep_company "$job" "$probe" "$what" &
  company=$!
  # A job of a script does not hear Ctrl-C.
  trap 'kill $job $company 2>/dev/null; rm -f "$log"; exit 130' INT TERM HUP
  status=0
  wait "$job" 2>/dev/null || status=$?
  kill "$company" 2>/dev/null
  wait "$company" 2>/dev/null || :
  trap - INT TERM HUP
  [ "$status" -eq 0 ] || tail -n 5 "$log" >&2
  rm -f "$log"
  return "$status"
}

# Fails if npm has no answer from its registry in time; a refusal is one.
npm_hears() {
  npm ping --fetch-retries=0 >/dev/null 2>&1 &
  ping=$!
  (sleep "$PATIENCE"; kill "$ping") >/dev/null 2>&1 &
  watch=$!
  hears=0
  wait "$ping" || hears=$?
  kill "$watch" 2>/dev/null
  # Ended by its watch, and not by itself.
  [ "$hears" -le 128 ]
}

# The same for Bun.
bun_hears() {
  registry=${npm_config_registry:-$(npm config get registry 2>/dev/null || :)}
  bun -e 'const [url, s] = process.argv.slice(1);
    await fetch(url, { method: "HEAD", signal: AbortSignal.timeout(s * 1000) }).catch((error) => {
      process.exit(error.name === "TimeoutError" ? 1 : 0);
    });' "${registry:-https://registry.npmjs.org/}" "$PATIENCE"
}

# Bun from npm, inside the checkout: the platform's own package holds the executable, so nothing
# depends on whether npm runs install scripts.
fetch_bun() {
  command -v npm >/dev/null ||
    fail "Neither Bun $1 nor npm is here. Install Node.js with npm, or Bun $1."
  say "Getting Bun $1 into .bun/ ..."
  with_company npm_hears "getting Bun $1" npm install --prefix .bun --no-save --no-package-lock \
    --ignore-scripts --no-audit --no-fund --loglevel=error --fetch-retries=0 "bun@$1" ||
    fail_without_registry "$1"
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
  with_company bun_hears "installing dependencies" bun install --frozen-lockfile ||
    fail_without_registry "$version"
  say "Building ./lmproxy ..."
  with_company true "building" bun scripts/build.ts || fail "./lmproxy could not be built."
}
