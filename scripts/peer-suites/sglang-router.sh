#!/usr/bin/env bash
# The integration suite of sglang-router, unmodified, against lmproxy: it starts a router, registers fake
# workers and asks. From the sdist of 0.2.2, the last that has it; nothing of it stays here.
#
#   scripts/peer-suites/sglang-router.sh [PATH of lmproxy, ./lmproxy by default] [pytest's arguments]
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/peer-suites/suite.sh

lmproxy=${1:-./lmproxy}
shift || true

version=0.2.2
sha256=bb06737b7c94821dd90b2a32d6d7fa20b5804d0609010866ce13230a9b76fc6b

# What differs because we chose so, each named in docs/switching.md.
different=(
  # 503 with Retry-After for a full queue, where it wants 429 and 408.
  test_rate_limiting.py::test_rate_limit_and_queue
  test_rate_limiting.py::test_rate_limit_queue_and_timeout
  # The only node of a model is asked although it failed: its own 500 says more than a breaker's 503.
  test_circuit_breaker.py::test_circuit_breaker_opens_and_recovers
  test_circuit_breaker.py::test_circuit_breaker_half_open_failure_reopens
  # A prompt of 25 bytes is computed as fast as it is found: prefixes count from 256 bytes on.
  load_balancing/test_cache_aware.py::test_cache_aware_affinity
  # Refused with a sentence: prefill and decode of SGLang, certificates towards engines.
  test_pd_routing.py::test_pd_power_of_two_decode_attribution
  test_pd_routing.py::test_pd_power_of_two_skews_to_faster_decode
  test_mtls.py::test_mtls_successful_communication
  test_mtls.py::test_mtls_failure_without_client_cert
  test_mtls.py::test_tls_server_auth_only
)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# pip would want to build it before it hands it over.
index=https://pypi.org/simple/sglang-router/
url=$(curl -fsSL "$index" | grep -o "https://[^\"#]*/sglang_router-$version.tar.gz" | head -1)
curl -fsSL -o "$work/sdist.tar.gz" "$url"
echo "$sha256  $work/sdist.tar.gz" | sha256sum --check --quiet
tar -xzf "$work/sdist.tar.gz" -C "$work"

run_suite sglang-router "$work/sglang_router-$version" "$lmproxy" "$@"
