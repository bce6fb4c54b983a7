#!/usr/bin/env bash
# One would guess: an image in a notebook's output that carries its alternative text where formats carry such things,
#   {"image/png": {"alt": "..."}} in the output's metadata, beside the "width" and "height" that are obeyed there, is
#   read out with that text.
# What happens: nbconvert's HTML obeys the width and drops the text. It even writes another in its place, "No
#   description has been provided for this image", so a reader of the page cannot tell a missing text from a lost one.
#   JupyterLab obeys width and height as well, and gives the image no alternative text at all. The text in text/plain
#   beside the image is dropped too, since the image wins.
# Seen with: nbconvert 7.17.2 (templates/lab/base.html.j2, exporters/html.py), JupyterLab 4.6.6 (rendermime,
#   renderImage takes width, height, needsBackground and unconfined), Python 3.11. Source: the run below.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet nbconvert==7.17.2 nbformat==5.11.0 \
  jupyterlab==4.6.6 2>/dev/null
cat > "$folder/try.py" <<'END'
import glob, re, sys
from nbconvert import HTMLExporter
from nbformat import v4

DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
data = {"image/png": DOT, "text/plain": "a red dot in words"}
metadata = {"image/png": {"alt": "a red dot", "width": 77}}
output = v4.new_output("display_data", data=data, metadata=metadata)
page, _ = HTMLExporter().from_notebook_node(v4.new_notebook(cells=[v4.new_code_cell("dot", outputs=[output])]))
(image,) = re.findall(r"<img[^>]*>", page)
print("nbconvert:", image.replace(DOT, "..."))
(core,) = [text for text in map(lambda path: open(path, encoding="utf-8").read(), glob.glob(sys.argv[1])) if "needs_background" in text]
(asked,) = re.findall(r"host:this\.node,mimeType:this\.mimeType,source:[^}]*needs_background[^}]*", core)
names = re.findall(r"[,{](\w+):", "," + asked)
print("JupyterLab asks of an image:", ", ".join(names))
assert 'width="77"' in image and "a red dot" not in page and 'alt="No description has been provided' in image
assert "width" in names and not any("alt" in name.lower() for name in names)
END
"$folder/venv/bin/python" "$folder/try.py" "$folder/venv/share/jupyter/lab/static/jlab_core*.js"
