#!/usr/bin/env bash
# One would guess: papermill -p RUN 2024_11 gives the notebook the text 2024_11, as only what looks like a number
#   becomes one; and a parameter whose default is a text stays one.
# What happens: whatever Python's int() or float() takes becomes a number, and int() skips underscores: the run arrives
#   as 202411, a tile 0007 as 7, a place called Nan or Infinity as a float, with no regard to the default and without
#   a word. The folder that the notebook then writes is another one. The same name in a YAML file of parameters
#   (-f) is 202411 as well, since YAML 1.1 has such numbers; Nan and Infinity stay texts there.
# Seen with: papermill 2.7.0, ipykernel 7.4.0, Python 3.11, Linux. Source: _resolve_type in papermill/cli.py, int in
#   PyYAML's resolver.py. What helps: -r RUN 2024_11, which takes texts as they are, or quotes in the file.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check papermill==2.7.0 ipykernel==7.4.0 2>/dev/null
export JUPYTER_PLATFORM_DIRS=1 IPYTHONDIR="$folder/ipython" PATH="$folder/venv/bin:$PATH"
cd "$folder"
python - <<'END'
import nbformat

sources = ("RUN = TILE = PLACE = 'none'", "print([RUN, TILE, PLACE])")
cells = [nbformat.v4.new_code_cell(source) for source in sources]
cells[0].metadata["tags"] = ["parameters"]
kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), "in.ipynb")
END
printf 'RUN: 2024_11\nTILE: 0007\nPLACE: Nan\n' > parameters.yaml
printed() { papermill in.ipynb - --no-progress-bar "$@" 2>/dev/null | python -c "
import json, sys
print(''.join(json.load(sys.stdin)['cells'][-1]['outputs'][0]['text']).strip())"; }
typed=$(printed -p RUN 2024_11 -p TILE 0007 -p PLACE Nan)
raw=$(printed -r RUN 2024_11 -r TILE 0007 -r PLACE Nan)
file=$(printed -f parameters.yaml)
echo "-p: $typed"
echo "-f: $file"
echo "-r: $raw"
[ "$typed" = "[202411, 7, nan]" ] && [ "$file" = "[202411, 7, 'Nan']" ] && [ "$raw" = "['2024_11', '0007', 'Nan']" ]
