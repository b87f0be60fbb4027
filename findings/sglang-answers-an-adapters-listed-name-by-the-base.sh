#!/usr/bin/env bash
# SGLang 0.5.23 with LoRA adapters lists an adapter loaded as `a` under that name in /v1/models, but answers a request
# with `"model": "a"` by the base model, with 200, and labels the answer `a`.
#
# Expected: a name from the list is served by what the list says, or refused; clients and routers that read the list
# have no other to ask for. Here the adapter is had as `base:a` (or by the extra field `lora_path`), which the list does
# not have; a name without a colon is never looked at, so that any other is answered by the base model, too. Whoever
# comes from vLLM, where `a` is right, gets words of the wrong model, and no sign of it.
# Seen: the lines below; the last one, /v1/models/a, denies the listed name. Run here are the HTTP server of the wheel,
# its handler of completions and its registry of adapters; the rest, which needs torch, is stood in for, and in place
# of the engine is one that answers with the adapter it was told to use. A real engine, tried by hand, answers `a` with
# the words of the base model.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
pip() { "$work/env/bin/pip" install -q --disable-pip-version-check "$@"; }
pip aiohttp==3.14.5 fastapi==0.165.0 httpx==0.28.1 msgspec==0.23.0 openai==3.57.0 orjson==3.13.0 \
  python-multipart==0.0.34 requests==2.34.2 uvicorn==0.54.0 uvloop==0.23.0
pip --no-deps --no-compile sglang==0.5.23
"$work/env/bin/pip" freeze --disable-pip-version-check | grep -iE '^(sglang|fastapi)=='
cat > "$work/ask.py" <<'PY'
import asyncio, importlib.abc, importlib.machinery, importlib.util, pathlib, sys, sysconfig, types
from unittest.mock import MagicMock
import fastapi, httpx
from pydantic_core import core_schema

SITE = pathlib.Path(sysconfig.get_paths()["purelib"])
OPENAI = [f"entrypoints.openai.{name}" for name in
          ("protocol", "serving_base", "serving_completions", "usage_processor", "utils")]
REAL = {f"sglang.srt.{name}" for name in
        [*OPENAI, "entrypoints.http_server", "lora.lora_registry", "utils.aio_rwlock", "utils.auth",
         "utils.json_response"]}

class Anything(MagicMock):
    def __init__(self, *_, **fields):
        super().__init__(**fields)

    @classmethod
    def __get_pydantic_core_schema__(cls, *_):
        return core_schema.any_schema()

class StandIn(types.ModuleType):
    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        setattr(self, name, type(name, (Anything,), {}))
        return getattr(self, name)

class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name in REAL:
            return importlib.util.spec_from_file_location(name, SITE / (name.replace(".", "/") + ".py"))
        if name.split(".")[0] in ("sglang", "numpy", "torch"):
            return importlib.machinery.ModuleSpec(name, self)

    def create_module(self, spec):
        return StandIn(spec.name)

    def exec_module(self, module):
        pass

sys.meta_path.insert(0, Finder())
fastapi.FastAPI.include_router = lambda *_, **__: None  # those that are stood in for
import sglang.srt.environ, sglang.srt.utils.weight_versions
sglang.srt.environ.envs = MagicMock()
sglang.srt.environ.envs.SGLANG_ENABLE_REQUEST_DECOMPRESSION.get.return_value = False
sglang.srt.utils.weight_versions.build_endpoint_weight_version_metadata = lambda *_, **__: {}

import sglang.srt.entrypoints.http_server as http_server
from sglang.srt.entrypoints.openai.serving_completions import OpenAIServingCompletion
from sglang.srt.lora.lora_registry import LoRARef, LoRARegistry

class Engine(MagicMock):
    async def generate_request(self, request, _):
        finish = {"type": "stop"}
        meta = {"id": "c", "prompt_tokens": 1, "completion_tokens": 1, "finish_reason": finish}
        yield {"text": f"adapter {request.lora_path}", "output_ids": [1], "meta_info": meta}

engine = Engine(served_model_name="base", lora_registry=LoRARegistry([LoRARef(lora_name="a", lora_path="/a")]))
engine.request_logger.log_requests = False
engine.model_config.context_len = 2048
http_server.set_global_state(types.SimpleNamespace(tokenizer_manager=engine))
templates = types.SimpleNamespace(completion_template_name=None)
http_server.app.state.openai_serving_completion = OpenAIServingCompletion(engine, templates)

async def main():
    transport = httpx.ASGITransport(app=http_server.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://sglang") as client:
        listed = (await client.get("/v1/models")).json()["data"]
        print("listed:", *(card["id"] for card in listed))
        for model in ("base", "a", "base:a", "nobody"):
            got = await client.post("/v1/completions", json={"model": model, "prompt": "Hello"})
            body = got.json()
            print(f"{model}: {got.status_code}, model {body['model']}, by {body['choices'][0]['text']}")
        print("/v1/models/a:", (await client.get("/v1/models/a")).status_code)

asyncio.run(main())
PY
out=$(timeout 60 "$work/env/bin/python" -W ignore "$work/ask.py")
echo "$out"
expected="listed: base a
base: 200, model base, by adapter None
a: 200, model a, by adapter None
base:a: 200, model base:a, by adapter a
nobody: 200, model nobody, by adapter None
/v1/models/a: 404"
[ "$out" = "$expected" ] || { echo "This has changed."; exit 1; }
echo "As described: the listed name of an adapter is answered by the base model."
