"""Checks what a run of the course reached: ``python tests/tools/check_metrics.py runs/miniature --at-least 0.85``."""

import argparse
import json
import sys
from pathlib import Path


def main() -> int:
    """Prints the zero-shot figures of a run and fails if they fall short."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a folder that `make course` has filled")
    parser.add_argument("--at-least", type=float, default=0.0, help="fine-tuned score@1 must reach this")
    parser.add_argument("--gain", type=float, default=0.0, help="and exceed the baseline's by this")
    parser.add_argument("--images", type=int, help="and be measured on so many images")
    arguments = parser.parse_args()
    scores = json.loads((arguments.run / "metrics.json").read_text())["05_evaluate_zero_shot"]
    baseline, finetuned = scores["baseline_top1"], scores["finetuned_top1"]
    print(f"{arguments.run}: score@1 {baseline:.3f} -> {finetuned:.3f} on {scores['test_images']:.0f} images")
    complaints = []
    if finetuned < arguments.at_least:
        complaints.append(f"fine-tuned score@1 {finetuned:.3f} is below {arguments.at_least}")
    if finetuned - baseline < arguments.gain:
        complaints.append(f"the gain of {finetuned - baseline:.3f} is below {arguments.gain}")
    if arguments.images is not None and scores["test_images"] != arguments.images:
        complaints.append(f"{scores['test_images']:.0f} images were scored, not {arguments.images}")
    print("\n".join(complaints))
    return int(bool(complaints))


if __name__ == "__main__":
    sys.exit(main())
