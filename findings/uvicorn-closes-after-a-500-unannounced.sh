#!/usr/bin/env bash
# uvicorn 0.54.0 (under vLLM, SGLang, LMDeploy): when a handler raises, FastAPI's answer is `500 Internal Server
# Error` without `Connection: close`, with a Content-Length, over HTTP/1.1: by RFC 9112, 9.3 the
# connection stays. uvicorn closes it right after.
#
# Expected: a server that will close says so (RFC 9112, 9.6: "SHOULD send"), as uvicorn does in its own 400s, or
# keeps the connection, as it does after a 500 that the handler returns itself. A proxy that pools
# connections meets a reset or an end on the next request, which is another client's, and takes a well engine
# for a dead one. Seen with both of its parsers, h11 and httptools; a returned 500 keeps the connection.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check uvicorn==0.54.0 fastapi==0.165.0 starlette==1.10.0 h11==0.16.0 httptools==0.8.0
"$work/env/bin/pip" freeze --disable-pip-version-check | grep -iE '^(uvicorn|fastapi|starlette|h11|httptools)=='
cat > "$work/app.py" <<'PY'
from fastapi import FastAPI
from fastapi.responses import JSONResponse
app = FastAPI()
@app.get("/raises")
async def raises():
    raise RuntimeError("not expected")
@app.get("/returns")
async def returns():
    return JSONResponse({"error": "expected"}, status_code=500)
PY
cd "$work"
timeout 100 python3 - <<'PY'
import socket, subprocess, sys, time
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
def expect(what, holds):
    print(("seen: " if holds else "CHANGED: ") + what, flush=True)
    if not holds:
        server.kill()
        sys.exit(1)
def head_and_end(path):
    """The answer's head, and whether the server closed within two seconds after it."""
    s = socket.create_connection(("127.0.0.1", port))
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    s.settimeout(2)
    answer = b""
    try:
        while True:
            piece = s.recv(4096)
            if not piece: return answer.decode(), True
            answer += piece
    except TimeoutError:
        return answer.decode(), False
for parser in ("h11", "httptools"):
    port = free_port()
    server = subprocess.Popen(["env/bin/python", "-m", "uvicorn", "app:app", "--port", str(port), "--http", parser],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.1)
    answer, closed = head_and_end("/raises")
    print(answer.strip())
    says = "connection: close" in answer.lower()
    expect(f"{parser}: a handler that raises: 500, close announced: {says}, closed: {closed}",
           answer.startswith("HTTP/1.1 500") and closed and not says)
    answer, closed = head_and_end("/returns")
    expect(f"{parser}: a handler that returns 500: closed: {closed}", answer.startswith("HTTP/1.1 500") and not closed)
    server.kill()
PY
