"""``python -m utils.miniature`` draws the miniature."""

from utils.miniature.build import main

if __name__ == "__main__":
    main()
