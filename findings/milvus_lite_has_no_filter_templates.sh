#!/usr/bin/env bash
# One would guess: a filter of pymilvus with a template, color == {wanted} with filter_params={"wanted": "red"}, which
#   Milvus's manual recommends for values of users, works with milvus-lite as with any other Milvus.
# What happens: milvus-lite is sent the values beside the expression, does not look at them, and refuses the expression:
#   unexpected character '{'. Values must be pasted into it, and whoever pastes them must escape them.
# Seen with: pymilvus 3.0.2, milvus-lite 3.2.2, Python 3.11, Linux. Source: the run below.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pymilvus==3.0.2 milvus-lite==3.2.2 2>/dev/null
cd "$folder"
"$folder/venv/bin/python" - 2>/dev/null <<'END'
import sys

from pymilvus import MilvusClient

client = MilvusClient("colors.db")
client.create_collection("colors", dimension=2)
client.insert("colors", [{"id": 1, "vector": [1.0, 0.0], "color": "red"}, {"id": 2, "vector": [0.0, 1.0], "color": "blue"}])
pasted = client.query("colors", filter='color == "red"', output_fields=["id"])
print(f"pasted: {[row['id'] for row in pasted]}")
try:
    told = client.query("colors", filter="color == {wanted}", filter_params={"wanted": "red"}, output_fields=["id"])
    print(f"by a template: {[row['id'] for row in told]}")
    refused = False
except Exception as error:
    print(f"by a template: {' '.join(str(error).split())}")
    refused = "unexpected character" in str(error)
sys.exit(not ([row["id"] for row in pasted] == [1] and refused))
END
