"""Puts the measured figures into a page: ``python -m utils.evaluation README.md``."""

from utils.evaluation.summary import main

if __name__ == "__main__":
    main()
