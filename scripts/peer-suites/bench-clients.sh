#!/usr/bin/env bash
# SGLang's bench_serving and vLLM's `bench serve`, unmodified, through lmproxy to two simulated engines: what
# they print, and whether every request succeeded. Neither needs a GPU, but both import torch; so they
# come from an environment that has them:
#
#   scripts/peer-suites/bench-clients.sh PYTHON [PATH of lmproxy, ./lmproxy by default]
#
# PYTHON is one with `sglang` or `vllm`, and `transformers`; whichever of the two it has not is left out.
set -euo pipefail
cd "$(dirname "$0")/../.."

python=${1:?the Python of an environment with sglang or vllm}
lmproxy=$(realpath "${2:-./lmproxy}")
work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT

url_in() { # waits for the line that names it
  for _ in $(seq 300); do
    grep -om1 'http://127[^ ]*' "$1" && return
    sleep 0.1
  done
  echo "nothing listens: $1" >&2
  return 1
}

nodes=()
for i in 1 2; do
  "$lmproxy" engine --kind sglang --model tiny --port 0 > "$work/engine$i" 2>&1 & pids+=($!)
  nodes+=("$(url_in "$work/engine$i")")
done
"$lmproxy" --as sglang-router --host 127.0.0.1 --port 0 --disable-cache-status --policy cache_aware \
  --worker-urls "${nodes[@]}" > "$work/proxy" 2>&1 & pids+=($!)
url=$(url_in "$work/proxy")

# A tokenizer of single bytes: both want one, and there may be no internet.
"$python" - "$work/tokenizer" <<'PYTHON'
import sys
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
vocab = {letter: at for at, letter in enumerate([*alphabet, "<s>"])}
tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="<s>", pad_token="<s>")
fast.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
fast.save_pretrained(sys.argv[1])
PYTHON

requests=20
common=(--base-url "$url" --model tiny --tokenizer "$work/tokenizer" --num-prompts "$requests" --request-rate 20)
sizes=(--random-input-len 64 --random-output-len 16)
failed=0
run() { # name, command…
  local name=$1
  shift
  "$@" > "$work/out" 2>&1 || true
  local succeeded
  succeeded=$(grep -oP 'Successful requests:\s+\K\d+' "$work/out" || echo 0)
  echo "$name: $succeeded of $requests"
  if [ "$succeeded" != "$requests" ]; then
    tail -20 "$work/out"
    failed=1
  fi
}

has() { "$python" -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$1') is None)"; }

if has sglang; then
  for backend in sglang sglang-oai sglang-oai-chat vllm vllm-chat; do
    run "bench_serving --backend $backend" "$python" -m sglang.bench_serving --backend "$backend" \
      "${common[@]}" --dataset-name random-ids "${sizes[@]}"
  done
fi
if has vllm; then
  for backend in openai openai-chat; do
    path=/v1/completions
    [ "$backend" = openai ] || path=/v1/chat/completions
    run "vllm bench serve --backend $backend" "$python" -m vllm.entrypoints.cli.main bench serve \
      --backend "$backend" --endpoint "$path" "${common[@]}" --dataset-name random "${sizes[@]}"
  done
fi
exit "$failed"
