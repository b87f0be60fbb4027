"""LMDeploy's own api_server, AsyncEngine, session manager, health monitor, metrics and zmq connections
over a stand-in for the engine below them: it needs no model and no GPU, and makes letters at a pace.

usage: lmdeploy_engine.py PORT FOLDER [--role Prefill] [--proxy-url URL] [--api-key KEY] [--ids released]

FOLDER gets a tokenizer and a configuration, once. The file that the variable EVENTS names gets a line of
JSON for everything that reaches the stand-in. SIGUSR1 breaks it or mends it: while it is broken every inference ends as
when the engine's process is gone.

--ids released  prefill answers as this release gives them (0.15.0 to 0.18.0 name no session)
--ids number    as releases up to 0.14.0: `id` is the session's number
--ids field     as proposed in InternLM/lmdeploy#4977: a field `cache_session_id`; DistServe's fields are
                taken only with the header of #4969
"""
import argparse
import asyncio
import json
import os
import signal
import socket
import sys
import types

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stand_ins  # noqa: E402

stand_ins.install()

CONTEXT = 4096
BLOCK_TOKENS = 64
# Block numbers tell their session, so that an answer can be seen to belong to it.
BLOCKS_PER_SESSION = 100
END_TOKEN = 258


def read_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("folder")
    parser.add_argument("--role", default="Hybrid", choices=["Hybrid", "Prefill", "Decode"])
    parser.add_argument("--proxy-url")
    parser.add_argument("--api-key")
    parser.add_argument("--ids", default="released", choices=["released", "number", "field"])
    parser.add_argument("--token-ms", type=float, default=20)
    parser.add_argument("--places", type=int, default=8)
    return parser.parse_args()


def make_model(folder):
    if os.path.exists(os.path.join(folder, "config.json")):
        return
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    os.makedirs(folder, exist_ok=True)
    tokenizer.save(os.path.join(folder, "tokenizer.json"))
    template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    files = {
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "model_max_length": CONTEXT,
            "chat_template": template,
        },
        "generation_config.json": {"eos_token_id": END_TOKEN},
        "config.json": {
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "vocab_size": 259,
            "max_position_embeddings": CONTEXT,
            "eos_token_id": END_TOKEN,
            "torch_dtype": "float16",
        },
    }
    for name, content in files.items():
        with open(os.path.join(folder, name), "w") as file:
            json.dump(content, file)


OPTIONS = read_arguments()
make_model(OPTIONS.folder)

import lmdeploy  # noqa: E402
from lmdeploy.messages import (  # noqa: E402
    EngineOutput,
    PytorchEngineConfig,
    RequestMetrics,
    ResponseType,
    ScheduleMetrics,
)
from lmdeploy.pytorch.disagg.config import EngineRole  # noqa: E402


def tell(event, **facts):
    with open(os.environ["EVENTS"], "a") as file:
        file.write(json.dumps({"event": event, **facts}) + "\n")


class Inference:
    """One handle of the stand-in: what LMDeploy calls an engine instance."""

    def __init__(self, engine):
        self.engine = engine

    async def async_stream_infer(self, session_id, input_ids=None, gen_config=None, **_):
        engine = self.engine
        engine.cancelled.discard(session_id)
        engine.running.add(session_id)
        migration = gen_config.migration_request
        tell("begin", session=session_id, keeps=bool(gen_config.preserve_cache), migrates=migration is not None)
        try:
            async for output in self.outputs(session_id, len(input_ids), gen_config, migration):
                yield output
        finally:
            engine.running.discard(session_id)
            tell("end", session=session_id)

    async def outputs(self, session_id, prompt_tokens, wanted, migration):
        engine = self.engine
        if engine.is_broken:
            yield EngineOutput(ResponseType.INTERNAL_ENGINE_ERROR, [])
            return
        first = session_id * BLOCKS_PER_SESSION
        blocks = list(range(first, first + 1 + prompt_tokens // BLOCK_TOKENS))
        if wanted.preserve_cache:
            engine.kept[session_id] = blocks
        if migration is not None and not migration.is_dummy_prefill and engine.connection is not None:
            await engine.connection.zmq_send(
                remote_engine_id=migration.remote_engine_id,
                remote_session_id=migration.remote_session_id,
            )
        for made in range(wanted.max_new_tokens):
            await asyncio.sleep(OPTIONS.token_ms / 1000)
            if session_id in engine.cancelled:
                yield EngineOutput(ResponseType.CANCEL, [])
                return
            if engine.is_broken:
                yield EngineOutput(ResponseType.INTERNAL_ENGINE_ERROR, [])
                return
            engine.ticks += 1
            is_last = made == wanted.max_new_tokens - 1
            yield EngineOutput(
                ResponseType.FINISH if is_last else ResponseType.SUCCESS,
                [64 + made % 26],
                cache_block_ids=blocks if wanted.with_cache else None,
                req_metrics=RequestMetrics(),
            )

    async def async_cancel(self, session_id):
        self.engine.cancelled.add(session_id)
        tell("cancel", session=session_id)

    async def async_end(self, session_id):
        pass


class Scheduler:
    def __init__(self, engine):
        self.engine = engine

    @property
    def sessions(self):
        return self.engine.kept


class Executor:
    """The side that would register memory with the network card."""

    def p2p_initialize(self, request):
        from lmdeploy.pytorch.disagg.conn.protocol import DistServeKVTransferEndpointInfo

        return [DistServeKVTransferEndpointInfo(protocol=request.protocol, endpoint_info="{}")]

    def p2p_connect(self, *_, **__):
        pass


class Engine:
    is_dummy = False

    def __init__(self, engine_config):
        self.engine_config = engine_config
        self.running, self.cancelled = set(), set()
        # Sessions whose blocks are kept for a decode engine.
        self.kept = {}
        self.ticks = 0
        self.is_broken = False
        self.connection = None
        self.scheduler = Scheduler(self)
        self.executor = Executor()
        signal.signal(signal.SIGUSR1, lambda *_: self.toggle())

    def toggle(self):
        self.is_broken = not self.is_broken
        tell("broken" if self.is_broken else "mended")

    def create_instance(self, cuda_stream_id=0):
        return Inference(self)

    def get_schedule_metrics(self):
        used = min(1.0, 0.1 * len(self.running))
        return ScheduleMetrics(
            active_seqs=len(self.running), waiting_seqs=0, cache_usage=used, scheduler_tick=self.ticks
        )

    async def get_health_status(self):
        return {"alive": True, "message": "", "schedule_metrics": self.get_schedule_metrics()}

    def start_loop(self):
        return True

    def close(self):
        tell("closed")

    def end_session(self, session_id):
        known = self.kept.pop(session_id, None) is not None
        tell("freed", session=session_id, known=known, kept=len(self.kept))
        return known

    async def sleep(self, level):
        tell("asleep", level=level)

    def wakeup(self, tags):
        tell("awake")

    def connect(self):
        if self.connection is None:
            give_free_ports()
            from lmdeploy.pytorch.disagg.conn.engine_conn import EngineP2PConnection

            self.connection = EngineP2PConnection(self)
        return self.connection

    def p2p_initialize(self, request):
        return self.connect().p2p_initialize(request)

    def p2p_connect(self, request):
        return self.connect().p2p_connect(request)

    def p2p_drop_connect(self, request):
        return self.connect().p2p_drop_connect(request)


def give_free_ports():
    """The connection's one import from the executor package, which needs CUDA."""
    name = "lmdeploy.pytorch.engine.executor.dist_utils"
    for package in ("lmdeploy.pytorch.engine", "lmdeploy.pytorch.engine.executor"):
        if package not in sys.modules:
            sys.modules[package] = types.ModuleType(package)
            sys.modules[package].__path__ = []

    def find_available_port():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    module = types.ModuleType(name)
    module.find_available_port = find_available_port
    sys.modules.setdefault(name, module)


class Ids:
    """Gives prefill answers the session's name as other releases do, at the server's edge."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or OPTIONS.ids == "released":
            await self.app(scope, receive, send)
            return
        start, body = None, b""

        async def rewrite(message):
            nonlocal start, body
            if message["type"] == "http.response.start" and is_json(message):
                start = message
                return
            if start is None:
                await send(message)
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            named = self.named(body)
            headers = [(k, v) for k, v in start["headers"] if k.lower() != b"content-length"]
            await send({**start, "headers": [*headers, (b"content-length", str(len(named)).encode())]})
            await send({"type": "http.response.body", "body": named})

        await self.app(scope, receive, rewrite)

    def named(self, body):
        answer = json.loads(body)
        if not isinstance(answer, dict) or not answer.get("cache_block_ids"):
            return body
        session = answer["cache_block_ids"][0] // BLOCKS_PER_SESSION
        change = {"id": str(session)} if OPTIONS.ids == "number" else {"cache_session_id": session}
        return json.dumps({**answer, **change}).encode()


def is_json(message):
    return any(k.lower() == b"content-type" and v.startswith(b"application/json") for k, v in message["headers"])


def main():
    import uvicorn
    from lmdeploy.serve.core import async_engine
    from lmdeploy.serve.openai import api_server

    def build(self, model_path, backend_config=None, **_):
        backend_config.num_gpu_blocks = backend_config.num_gpu_blocks or 1000
        return Engine(backend_config)

    async_engine.AsyncEngine._build_pytorch = build
    run = uvicorn.run
    uvicorn.run = lambda app, **options: run(Ids(app), **options)
    tell("version", lmdeploy=lmdeploy.__version__)
    api_server.serve(
        OPTIONS.folder,
        model_name="tiny",
        backend="pytorch",
        backend_config=PytorchEngineConfig(
            max_batch_size=OPTIONS.places,
            session_len=CONTEXT,
            enable_metrics=True,
            role=EngineRole[OPTIONS.role],
        ),
        server_name="127.0.0.1",
        server_port=OPTIONS.port,
        api_keys=[OPTIONS.api_key] if OPTIONS.api_key else None,
        proxy_url=OPTIONS.proxy_url,
        log_level="WARNING",
    )


main()
