#!/usr/bin/env bash
# One would guess: an ONNX file holds what a model computes, so that it can be published as it is.
# What happens: torch.onnx.export (dynamo=True, the default since torch 2.9) writes into every node the stack trace of
#   the code that it came from: absolute paths, with the names of your user and of your project's folders, and the
#   lines of your own source with whatever stands in them, comments included. Nothing says so, and no argument of
#   export leaves it out. Of each node, metadata_props.clear() on the ONNXProgram, before it is saved, does.
# Seen with: torch 2.12.1, onnx 1.23.2, onnxscript 0.7.2, Python 3.11, Linux. Source: the run below, offline.
#   pytorch/pytorch#5463 is the same of the exporter of 2018, in which it has been mended.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.12.1 onnx==1.23.2 onnxscript==0.7.2 \
  numpy==2.4.6 2>/dev/null
mkdir -p "$folder/home/jane.doe/secret_client"
cd "$folder/home/jane.doe/secret_client"
cat >model.py <<'END'
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return torch.relu(x) + 1  # TODO: Bob says that the client must not see this
END
PYTHONPATH=. "$folder/venv/bin/python" - 2>/dev/null <<'END'
import sys

import torch
from model import Model

program = torch.onnx.export(Model(), (torch.zeros(2, 3),), dynamo=True, verbose=False)
program.save("model.onnx")
words = [b"jane.doe", b"secret_client", b"Bob says"]


def held():
    with open("model.onnx", "rb") as file:
        content = file.read()
    return [word.decode() for word in words if word in content]


print("torch", torch.__version__)
written = held()
print("The file holds", written)
for node in program.model.graph.all_nodes():
    node.metadata_props.clear()
program.save("model.onnx")
cleared = held()
print("After metadata_props.clear() of every node it holds", cleared)
sys.exit((written, cleared) != (["jane.doe", "secret_client", "Bob says"], []))
END
