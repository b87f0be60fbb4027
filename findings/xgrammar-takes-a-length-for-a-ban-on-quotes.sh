#!/usr/bin/env bash
# xgrammar 0.2.9 (what vLLM tries first): a string with `minLength` or `maxLength` may hold no escape at all,
# so neither a quotation mark nor a line break nor a backslash, and may hold raw tabs and control characters, which
# JSON forbids. Without a length it is the other way round, as JSON has it.
#
# Expected: a length counts characters and changes nothing else; llguidance 1.9.1, given the same schemas, does so. A
# model whose next token is the escape of a quotation mark has to end the string there or to say something else, so that
# code, dialogue and anything of several lines comes out cut or odd, with `finish_reason: stop` and valid by the schema.
# `minLength: 1`, which libraries write for "not empty", is enough; `minLength: 0` is not. And an answer with a raw tab
# is refused by every strict parser of JSON. Seen: the table below; the text is a value's, in JSON or raw.
# Torch and transformers, which its matcher does not need, are stood in for.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
pip() { "$work/env/bin/pip" install -q --disable-pip-version-check "$@"; }
pip apache-tvm-ffi==0.1.12 numpy==2.4.6 pydantic==2.14.4 typing-extensions==4.16.0 llguidance==1.9.1
pip --no-deps xgrammar==0.2.9
"$work/env/bin/pip" freeze --disable-pip-version-check | grep -iE '^(xgrammar|llguidance)=='
cat > "$work/run.py" <<'PY'
import json, sys
from unittest.mock import MagicMock

for name in ("torch", "transformers", "triton", "triton.language"):
    sys.modules[name] = MagicMock()
for name in ("Tensor", "dtype"):
    setattr(sys.modules["torch"], name, type(name, (), {}))
for name in ("PreTrainedTokenizerBase", "PreTrainedTokenizerFast"):
    setattr(sys.modules["transformers"], name, type(name, (), {}))
import llguidance
import xgrammar

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

TEXTS = {"say": '"say"', "escaped quotes": r'"say \"hi\""', "escaped line break": r'"a\nb"', "escaped backslash": r'"a\\b"',
         "raw tab": '"a\tb"', "raw U+0001": '"a\u0001b"'}
FREE = [True, True, True, True, False, False]
BOUND = [True, False, False, False, True, True]
described = True
for limit, expected in (({}, FREE), ({"minLength": 0}, FREE), ({"minLength": 1}, BOUND), ({"maxLength": 1000}, BOUND)):
    schema = {"type": "object", "properties": {"text": {"type": "string", **limit}}, "required": ["text"]}
    answers = ['{"text": ' + text + "}" for text in TEXTS.values()]
    took = [of_xgrammar(schema, answer) for answer in answers]
    other = [of_llguidance(schema, answer) for answer in answers]
    print(f"{json.dumps(limit):20}", ", ".join(f"{name}: {'yes' if yes else 'no'}" for name, yes in zip(TEXTS, took)))
    described = described and took == expected and other == FREE
print("As described: with a length no escape, but raw control characters." if described else "This has changed.")
sys.exit(0 if described else 1)
PY
timeout 60 "$work/env/bin/python" "$work/run.py"
