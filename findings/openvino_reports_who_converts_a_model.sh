#!/usr/bin/env bash
# One would guess: openvino.convert_model, a function of Python that takes a model and returns one, asks before it tells
#   anybody, as OpenVINO's command line tools do, and leaves nothing behind.
# What happens: it takes consent for given where nobody was asked. It draws a number for this user, writes it to
#   ~/intel/openvino_ga_cid, counts starts in ~/intel/stats, and sends events with that number to Google Analytics: the
#   framework of the model, versions, whether the conversion worked. Whoever only loads and runs a model is not counted.
#   Hiding the package openvino_telemetry from Python, the environment variable CI=true, or `opt_in_out --opt_out`
#   before, each keep it quiet; nncf.quantize does the same and heeds NNCF_CI instead.
# Seen with: openvino 2026.4.1, openvino-telemetry 2025.2.0, onnx 1.20.0, Python 3.11, Linux. Source: openvino/tools/ovc/
#   telemetry_utils.py, init_ovc_telemetry, passes enable_opt_in_dialog=False, by which openvino_telemetry/main.py takes
#   a missing file of consent for consent. Here a proxy that is not there keeps all of it on this machine.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  openvino==2026.4.1 openvino-telemetry==2025.2.0 onnx==1.20.0 2>/dev/null
cat > "$folder/convert.py" <<'END'
import sys

import onnx
from onnx import TensorProto, helper

path, way = sys.argv[1:]
if way == "hidden":
    sys.modules["openvino_telemetry"] = None
import openvino

ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in ("x", "y")]
graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "one", ends[:1], ends[1:])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
openvino.convert_model(path)
END
verdicts=()
for way in plain hidden ci; do
  mkdir "$folder/$way"
  asked=""
  [ "$way" = ci ] && asked=true
  HOME="$folder/$way" CI="$asked" HTTPS_PROXY=http://127.0.0.1:9 "$folder/venv/bin/python" "$folder/convert.py" \
    "$folder/$way.onnx" "$way" 2>/dev/null
  left=$(cd "$folder/$way" && find . -type f | sort | tr '\n' ' ')
  echo "  $way: files in the home folder: ${left:-none}"
  [ -n "$left" ] && verdicts+=(told) || verdicts+=(quiet)
done
echo "openvino 2026.4.1: ${verdicts[*]}"
[ "${verdicts[*]}" = "told quiet quiet" ]
