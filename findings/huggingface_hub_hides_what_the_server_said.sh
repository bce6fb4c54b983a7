#!/usr/bin/env bash
# One would guess: snapshot_download of a model that is gated, or of a Hub that is busy, raises an error that says so,
#   and a login page in place of the Hub (as networks of hotels and institutes send) is known for one.
# What happens: busy (503), too many requests (429) and forbidden (403) without the Hub's own headers all end in
#   LocalEntryNotFoundError, whose words are about the network and the cache; the server's answer stands in __cause__
#   alone. A web page with status 200 ends in a bare JSONDecodeError.
# Seen with: huggingface_hub 1.33.0, Python 3.11, Linux. Source: the run below, against a server on this machine.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check huggingface_hub==1.33.0 2>/dev/null
cat > "$folder/ask.py" <<'END'
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

ANSWERS = {"forbidden": 403, "many": 429, "busy": 503, "page": 200}


class Hub(BaseHTTPRequestHandler):
    def do_GET(self):
        name = next((name for name in ANSWERS if f"/{name}" in self.path), "page")
        body = b"<html><title>Please log in</title></html>"
        self.send_response(ANSWERS[name])
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"
os.environ["HF_HOME"] = sys.argv[1]
import huggingface_hub  # noqa: E402

print("huggingface_hub", huggingface_hub.__version__)
found = {}
for name in ANSWERS:
    try:
        huggingface_hub.snapshot_download(f"someone/{name}")
    except Exception as error:
        found[name] = type(error).__name__
        cause = type(error.__cause__).__name__ if error.__cause__ else "none"
        print(f"{name} ({ANSWERS[name]}): {found[name]}, cause {cause}")
expected = dict.fromkeys(("forbidden", "many", "busy"), "LocalEntryNotFoundError")
sys.exit(found != {**expected, "page": "JSONDecodeError"})
END
env -u HTTP_PROXY -u HTTPS_PROXY -u ALL_PROXY -u http_proxy -u https_proxy -u all_proxy \
  "$folder/venv/bin/python" "$folder/ask.py" "$folder/home"
