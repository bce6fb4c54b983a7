#!/usr/bin/env bash
# One would guess: pytest --nbval fails where a cell prints what the notebook does not hold; so whoever strips outputs
#   before a commit, as nbstripout does, sees all his printing cells fail, and nobody takes the two together.
# What happens: nbstripout takes the execution counts too, and of a cell without one nbval compares nothing. Every
#   stripped notebook passes, whatever it prints, and is counted as any other: a repository that begins to strip its
#   notebooks keeps its green tests and has none. With the outputs alone removed the same cell fails.
# Seen with: nbval 0.11.0, nbstripout 0.8.1, pytest 9.0.2, ipykernel 7.4.0, Python 3.11, Linux. Source: `unrun` in
#   IPyNbCell.runtest of nbval/plugin.py. What helps: a test that every code cell has an execution count.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check nbval==0.11.0 nbstripout==0.8.1 pytest==9.0.2 \
  ipykernel==7.4.0 2>/dev/null
export JUPYTER_PLATFORM_DIRS=1 IPYTHONDIR="$folder/ipython" PATH="$folder/venv/bin:$PATH"
cd "$folder"
python - <<'END'
import copy

import nbformat

says = [nbformat.v4.new_output("stream", name="stdout", text="the accuracy is 0.9\n")]
cell = nbformat.v4.new_code_cell("print('the accuracy is 0.1')", execution_count=1, outputs=says)
kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel})
for name in ("committed", "stripped"):
    nbformat.write(notebook, f"{name}.ipynb")
emptied = copy.deepcopy(notebook)
emptied.cells[0].outputs = []
nbformat.write(emptied, "emptied.ipynb")
END
nbstripout stripped.ipynb
verdict() {
  pytest --nbval --nbval-current-env -p no:cacheprovider -q "$1.ipynb" >"$1.log" 2>&1 && echo passes || echo fails
}
all=""
for name in committed emptied stripped; do
  all="$all $(verdict $name)"
  echo "$name: $(tail -n 1 $name.log)"
done
[ "$all" = " fails fails passes" ]
