#!/usr/bin/env bash
# One would guess: pycocoevalcap's PTBTokenizer, through which every caption goes before BLEU, METEOR, ROUGE-L, CIDEr
#   and SPICE, returns for each image the words of its own captions; a line break within a caption is a space, as it
#   replaces those.
# What happens: it replaces "\n" alone. Java ends a line at "\r", at U+2028 and at a form feed, too, so that a caption
#   with one (a cell of a table that was filled in on Windows) comes back as two, the second as the next image's, and
#   so on to the end; what is too many at the end is dropped. No error, no warning: a captioner that says exactly what
#   people said has a perfect score before, and after one such reference almost none, from that image on.
# Seen with: pycocoevalcap 1.2, its newest, OpenJDK 17, Python 3.11, Linux. Source: the run below;
#   pycocoevalcap/tokenizer/ptbtokenizer.py: replace('\n', ' '), then zip(image_id, lines), which ends with the shorter.
#   aac-metrics, which took the code over, counts the lines and raises an error. Needs Java.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps pycocoevalcap==1.2
"$folder/venv/bin/python" - 2>/dev/null <<'END'
import sys

from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

captions = [
    "a river in a town", "a long bridge over the sea", "two planes near a terminal", "many boats in a port",
    "a white church on a square", "green trees along a road", "a playground with a red track", "a piece of desert",
]


def as_published(texts):
    return {number: [{"caption": text}] for number, text in enumerate(texts)}


def per_image(references):
    tokenizer = PTBTokenizer()
    said, wanted = tokenizer.tokenize(as_published(captions)), tokenizer.tokenize(as_published(references))
    print(f"  image 1 is compared with {wanted[1][0]!r}, image 7 with {wanted[7][0]!r}")
    return Cider().compute_score(wanted, said)[1]


agrees = True
for name, end in (("a space", " "), ("\\n", "\n"), ("\\r\\n", "\r\n"), ("U+2028", "\u2028")):
    print(f"The first reference has {name} in its middle:")
    scores = per_image([captions[0].replace(" in ", f"{end}in "), *captions[1:]])
    perfect = sum(scores > 9.99)
    print(f"  {perfect} of 8 captions that equal their reference score 10, mean {scores.mean():.2f}")
    agrees = agrees and (perfect == 8 if name in ("a space", "\\n") else perfect == 0)
sys.exit(not agrees)
END
