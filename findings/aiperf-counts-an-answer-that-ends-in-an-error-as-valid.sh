#!/usr/bin/env bash
# NVIDIA's aiperf 0.13.0 (`aiperf profile --endpoint-type chat --streaming`): a stream that ends in an engine's error,
# `data: {"error": {...}}` as vLLM sends it when an answer fails after its first words, is a valid request, with
# its times and its words in the averages and no error in the report.
#
# Expected: an error, as the same event is with a line `event: error` above it, which vLLM leaves out, and as
# guidellm 0.8.1 and OpenAI's clients take it. An answer cut short is a quick one, so an engine that fails
# under load looks faster for it. Seen: 4 of 4 valid; with that line 4 errors.
# Installs 1.2 GB, which takes minutes.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check aiperf==0.13.0
"$work/env/bin/pip" freeze --disable-pip-version-check | grep -i '^aiperf=='
cd "$work"
mkdir tmp
export TMPDIR="$work/tmp" # aiperf leaves files there
cat > tokenizer.py <<'PY'
# A tokenizer that knows single bytes, so that nothing has to be fetched.
import json, pathlib
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
letters = sorted(pre_tokenizers.ByteLevel.alphabet())
tokenizer = Tokenizer(models.BPE(vocab={letter: n for n, letter in enumerate(letters)}, merges=[]))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.add_special_tokens(["<s>", "</s>"])
folder = pathlib.Path("tokenizer")
folder.mkdir()
tokenizer.save(str(folder / "tokenizer.json"))
about = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
(folder / "tokenizer_config.json").write_text(json.dumps(about))
PY
env/bin/python tokenizer.py
cat > engine.py <<'PY'
import asyncio, json
from aiohttp import web

def event(value):
    return f"data: {json.dumps(value)}\n\n"

def words(content, finish=None):
    choice = {"index": 0, "delta": {"role": "assistant", "content": content}, "finish_reason": finish}
    return event({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})

ERROR = event({"error": {"message": "The engine is gone.", "type": "InternalServerError", "code": 500}})
ENDS = {"whole": words("a time", "stop"), "error": ERROR, "named": "event: error\n" + ERROR}

async def answer(request):
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for piece in (words("Once "), words("upon "), ENDS[request.match_info["end"]], "data: [DONE]\n\n"):
        await response.write(piece.encode())
        await asyncio.sleep(0.02)
    return response

async def models(_):
    return web.json_response({"object": "list", "data": [{"id": "m", "object": "model"}]})

async def main():
    app = web.Application()
    app.router.add_post("/{end}/v1/chat/completions", answer)
    app.router.add_get("/{end}/v1/models", models)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(site._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
PY
env/bin/python engine.py >port 2>log &
while [ ! -s port ]; do sleep 0.1; done
seen=""
for end in whole error named; do
  HF_HUB_DISABLE_TELEMETRY=1 timeout 100 env/bin/aiperf profile -m m --url "http://127.0.0.1:$(cat port)/$end" --endpoint-type chat \
    --streaming --request-count 4 --concurrency 1 --tokenizer "$work/tokenizer" --isl 10 --osl 4 --ui none \
    --output-artifact-dir "$end" >"$end.log" 2>&1 || true
  line="$end: $(sed -n 's/.*Processed \([0-9]* valid requests and [0-9]* errors\).*/\1/p' "$end.log")"
  echo "$line"
  seen="$seen$line; "
done
expected="whole: 4 valid requests and 0 errors; error: 4 valid requests and 0 errors; named: 0 valid requests and 4 errors; "
[ "$seen" = "$expected" ] || { echo "This has changed."; exit 1; }
echo "As described: only a named error event counts as an error."
