#!/usr/bin/env bash
# The integration suite of vllm-router, unmodified, against lmproxy. No package has it: it comes from a
# checkout of https://github.com/vllm-project/router, of which nothing is changed.
#
#   scripts/peer-suites/vllm-router.sh --from DIR [PATH of lmproxy, ./lmproxy by default] [pytest's arguments]
set -euo pipefail
from=
if [ "${1:-}" = --from ]; then
  from=$(realpath "${2:?a checkout of vllm-project/router}")
  shift 2
fi
cd "$(dirname "$0")/../.."
. scripts/peer-suites/suite.sh

[ -n "$from" ] || { echo "--from DIR: a checkout of https://github.com/vllm-project/router" >&2; exit 2; }
lmproxy=${1:-./lmproxy}
shift || true

# What differs because we chose so, each named in docs/switching.md.
different=(
  # 503 with Retry-After for a full queue, where it wants 429 and 408.
  test_rate_limiting.py::test_rate_limit_and_queue
  test_rate_limiting.py::test_rate_limit_queue_and_timeout
  test_rate_limiting.py::test_rate_limit_429_carries_retry_after
  # The only node of a model is asked although it failed: its own 500 says more than a breaker's 503.
  test_circuit_breaker.py::test_circuit_breaker_opens_and_recovers
  test_circuit_breaker.py::test_circuit_breaker_half_open_failure_reopens
  # Prompts of 25 and of some 200 bytes are computed as fast as they are found: prefixes count from 256 bytes on.
  load_balancing/test_cache_aware.py::test_cache_aware_affinity
  load_balancing/test_cache_aware.py::test_cache_aware_chat_affinity_uses_stable_agent_prefix
  # Refused with a sentence: prefill and decode of vLLM, plug-ins in WASM.
  test_pd_routing.py
  test_wasm_middleware.py
)

run_suite vllm-router "$from" "$lmproxy" "$@"
