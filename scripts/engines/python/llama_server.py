"""llama.cpp's own HTTP server as xllamacpp links it; the package's version is llama.cpp's build.

usage: llama_server.py MODEL PORT [NAME=VALUE ...], names of xllamacpp.CommonParams
"""
import sys
import time

import xllamacpp


def value_like(old, text):
    if isinstance(old, bool):
        return text == "true"
    if isinstance(old, (list, set)):
        return type(old)(text.split(","))
    return type(old)(text)


params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.port = int(sys.argv[2])
params.cpuparams.n_threads = 1
params.cpuparams_batch.n_threads = 1
for setting in sys.argv[3:]:
    name, _, text = setting.partition("=")
    setattr(params, name, value_like(getattr(params, name), text))
server = xllamacpp.Server(params)
print("listening on", server.listening_address, "xllamacpp", xllamacpp.__version__, flush=True)
while True:
    time.sleep(3600)
