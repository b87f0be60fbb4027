#!/usr/bin/env bash
# outlines-core 0.2.14 (Outlines, and a backend of vLLM): a string's `pattern` in a JSON schema is taken for one of the
# JSON text instead of one of the value. `^[^,]*$` lets a bare quotation mark or a raw line break through, and the
# answer is no JSON; `^"x"$` and `^\n$` allow nothing that is.
#
# Expected: JSON whatever the pattern is, which is all that guided decoding is for; the specification (JSON Schema
# Validation, 6.3.3) has a pattern speak of the value, and llguidance 1.9.1 writes its characters escaped where JSON
# needs it. Patterns of letters and digits show no difference, `.*` and every class that is negated do, and then only
# in some answers. Seen: the lines below, each with the texts that the library's expression takes or refuses.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check outlines-core==0.2.14 llguidance==1.9.1
"$work/env/bin/pip" freeze --disable-pip-version-check | grep -iE '^(outlines.core|llguidance)=='
cat > "$work/run.py" <<'PY'
import json, re, sys
import llguidance
from outlines_core import json_schema

byte_tokens = llguidance.LLTokenizer("byte")

def of_outlines(schema, text):
    return re.fullmatch(json_schema.build_regex_from_schema(json.dumps(schema)), text) is not None

def of_llguidance(schema, text):
    matcher = llguidance.LLMatcher(byte_tokens, llguidance.LLMatcher.grammar_from_json_schema(schema))
    return matcher.try_consume_tokens(list(text.encode())) == len(text.encode()) and matcher.is_accepting()

def is_json(text):
    try:
        json.loads(text)
        return True
    except ValueError:
        return False

# Pattern, the value's text in the answer, and what is expected: is it JSON, does Outlines take it, does llguidance.
CASES = [
    ("^[a-z]+$", '"abc"', (True, True, True)),
    ("^[^,]*$", '"say "hi""', (False, True, False)),
    ("^[^,]*$", '"one\ntwo"', (False, True, False)),
    ("^.*$", '"say "hi""', (False, True, False)),
    ('^"x"$', r'"\"x\""', (True, False, True)),
    ('^"x"$', '""x""', (False, True, False)),
    (r"^\n$", r'"\n"', (True, False, True)),
    (r"^\n$", '"\n"', (False, True, False)),
]
described = True
for pattern, text, expected in CASES:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}, "required": ["a"]}
    answer = '{"a": ' + text + "}"
    seen = (is_json(answer), of_outlines(schema, answer), of_llguidance(schema, answer))
    word = ["no", "yes"]
    print(f"{pattern!r:12} {answer!r:24} JSON: {word[seen[0]]}, outlines-core: {word[seen[1]]}, llguidance: {word[seen[2]]}")
    described = described and seen == expected
print("As described: the pattern is held against the JSON text." if described else "This has changed.")
sys.exit(0 if described else 1)
PY
timeout 60 "$work/env/bin/python" "$work/run.py"
