#!/usr/bin/env bash
# llama.cpp's server, build 11549 (xllamacpp 2026.10.11549): reading /metrics empties two of its gauges.
# `llamacpp:prompt_tokens_seconds` and `llamacpp:predicted_tokens_seconds`, the speeds, are those of the time since
# anyone last read the page; the next reader gets 0, and an idle server says 0 from the second scrape on.
#
# Expected: a GET changes nothing (RFC 9110, 9.2.1), so that several may watch, as for every page that Prometheus
# reads; the page's own words, "Average prompt throughput in tokens/s" and "Average generation throughput in
# tokens/s", name no reader. With two readers, such as Prometheus and a router that polls for load, each sees
# the speed of those answers that ended in its own turn, and 0 in between. The counters beside them
# (`..._tokens_total` and `..._seconds_total`) are not touched: divide their increases instead.
# Seen: a speed at the first reading, 0 at the second, with the same counters in both.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check xllamacpp==2026.10.11549 gguf==0.19.0 numpy==2.4.6
"$work/env/bin/pip" freeze --disable-pip-version-check | grep -i '^xllamacpp=='
cat > "$work/model.py" <<'PY'
# A random model that knows single bytes.
import sys
import gguf
import numpy as np
draw = np.random.default_rng(5)
width, inner, layers = 128, 256, 2
printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
letters = [chr(b) for b in printable] + [chr(256 + n) for n in range(256 - len(printable))]
words = ["<s>", "</s>", *letters, "th"]
w = gguf.GGUFWriter(sys.argv[1], "qwen2")
for name, value in dict(context_length=4096, embedding_length=width, block_count=layers, feed_forward_length=inner,
                        head_count=2, head_count_kv=2, layer_norm_rms_eps=1e-6, rope_freq_base=1e4, file_type=0).items():
    getattr(w, "add_" + name)(value)
w.add_tokenizer_model("gpt2")
w.add_tokenizer_pre("gpt-2")
w.add_token_list(words)
w.add_token_types([gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL] * (len(words) - 2))
w.add_token_merges(["t h"])
w.add_bos_token_id(0)
w.add_eos_token_id(1)
def put(name, *shape):
    w.add_tensor(name, (draw.standard_normal(shape) * 0.05).astype(np.float32))
put("token_embd.weight", len(words), width)
put("output.weight", len(words), width)
put("output_norm.weight", width)
for i in range(layers):
    for norm in ("attn_norm", "ffn_norm"):
        put(f"blk.{i}.{norm}.weight", width)
    for part in "qkv":
        put(f"blk.{i}.attn_{part}.weight", width, width)
        put(f"blk.{i}.attn_{part}.bias", width)
    put(f"blk.{i}.attn_output.weight", width, width)
    put(f"blk.{i}.ffn_gate.weight", inner, width)
    put(f"blk.{i}.ffn_up.weight", inner, width)
    put(f"blk.{i}.ffn_down.weight", width, inner)
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()
PY
"$work/env/bin/python" "$work/model.py" "$work/tiny.gguf"
cat > "$work/server.py" <<'PY'
import sys, time
import xllamacpp
p = xllamacpp.CommonParams()
p.model.path, p.port, p.n_parallel, p.n_ctx = sys.argv[1], int(sys.argv[2]), 2, 8192
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = 1
p.endpoint_metrics = True
server = xllamacpp.Server(p)
time.sleep(600)
PY
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$work/env/bin/python" "$work/server.py" "$work/tiny.gguf" "$port" >"$work/log" 2>&1 &
timeout 100 python3 - "$port" <<'PY'
import json, sys, time, urllib.request
base = f"http://127.0.0.1:{sys.argv[1]}"
SPEEDS = ["llamacpp:prompt_tokens_seconds", "llamacpp:predicted_tokens_seconds"]
COUNTERS = ["llamacpp:prompt_tokens_total", "llamacpp:tokens_predicted_total", "llamacpp:tokens_predicted_seconds_total"]

def ask():
    body = {"model": "m", "max_tokens": 200, "temperature": 0, "ignore_eos": True, "messages": [{"role": "user", "content": "Say something."}]}
    request = urllib.request.Request(base + "/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"})
    urllib.request.urlopen(request, timeout=60).read()

def read(reader):
    page = urllib.request.urlopen(base + "/metrics", timeout=10).read().decode()
    values = {line.split()[0]: float(line.split()[1]) for line in page.splitlines() if line and line[0] != "#"}
    print(f"{reader}: " + ", ".join(f"{name[9:]} {values[name]:g}" for name in SPEEDS + COUNTERS), flush=True)
    return [values[name] for name in SPEEDS], [values[name] for name in COUNTERS]

for _ in range(120):
    try:
        urllib.request.urlopen(base + "/v1/models", timeout=2)
        break
    except OSError:
        time.sleep(0.5)
described = True
for turn in (1, 2):
    ask()
    time.sleep(0.5)
    first, counted = read(f"answer {turn}, first reader ")
    second, counted_again = read(f"answer {turn}, second reader")
    described = described and min(first) > 0 and max(second) == 0 and counted == counted_again and min(counted) > 0
print("As described: the second reader finds no speed." if described else "This has changed.")
sys.exit(0 if described else 1)
PY
