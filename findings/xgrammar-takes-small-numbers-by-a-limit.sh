#!/usr/bin/env bash
# xgrammar 0.2.9 (what vLLM tries first): a number with a limit (`minimum`, `maximum` or one that is excluded itself) has
# six digits behind the point at most, and no exponent. Within `"maximum": 1` there is nothing between 0 and 0.000001,
# `"minimum": 1e-7` does not allow 1e-7, and with `"exclusiveMinimum": 0` what begins as 0.00000 can go on to 0.000001
# and up alone.
#
# Expected: a limit takes away what is beyond it and nothing else; without one the same library writes any number in any
# of JSON's forms. A model whose learning rate, p-value or probability is 0.0000002, for which "not negative" or
# "at most 1" is the schema that one writes, has its next token forbidden and says another number: valid, with
# `finish_reason: stop`, and wrong by a power of ten. llguidance 1.9.1 keeps all digits within a limit, but the exponent
# is gone there as well, so that 2e-7, as most programs print it, cannot be said with either. Seen: the table
# below. Torch and transformers, which its matcher does not need, are stood in for.
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
vocabulary = [bytes([b]) for b in range(END)] + [b"</s>"]
tokens = xgrammar.TokenizerInfo(vocabulary, vocab_type=xgrammar.VocabType.RAW, stop_token_ids=[END])
compiler = xgrammar.GrammarCompiler(tokens)
byte_tokens = llguidance.LLTokenizer("byte")

def of_xgrammar(schema, text):
    matcher = xgrammar.GrammarMatcher(compiler.compile_json_schema(json.dumps(schema)))
    return all(matcher.accept_token(b) for b in text.encode()) and matcher.accept_token(END)

def of_llguidance(schema, text):
    matcher = llguidance.LLMatcher(byte_tokens, llguidance.LLMatcher.grammar_from_json_schema(schema))
    return matcher.try_consume_tokens(list(text.encode())) == len(text.encode()) and matcher.is_accepting()

NUMBERS = ["0.5", "0.000001", "0.0000001", "0.1234567", "2e-7", "2.5e-1"] # all of them within every limit below
LIMITS = [{}, {"minimum": 0}, {"exclusiveMinimum": 0}, {"maximum": 1}, {"minimum": 0, "maximum": 1}, {"minimum": 1e-7}]
ALL, SHORT, PLAIN = "yes yes yes yes yes yes", "yes yes no no no no", "yes yes yes yes no no"
described = True
print("within", ", ".join(NUMBERS))
for limit in LIMITS:
    schema = {"type": "object", "properties": {"a": {"type": "number", **limit}}, "required": ["a"]}
    answers = ['{"a": ' + number + "}" for number in NUMBERS]
    took = " ".join("yes" if of_xgrammar(schema, answer) else "no" for answer in answers)
    other = " ".join("yes" if of_llguidance(schema, answer) else "no" for answer in answers)
    print(f"{json.dumps(limit):28} xgrammar: {took:24} llguidance: {other}")
    described = described and (took, other) == ((SHORT, PLAIN) if limit else (ALL, ALL))
print("As described: with a limit six digits and no exponent." if described else "This has changed.")
sys.exit(0 if described else 1)
PY
timeout 60 "$work/env/bin/python" "$work/run.py"
