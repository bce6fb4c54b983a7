"""``python -m utils.starter`` trains the starting checkpoint."""

from utils.starter.pretraining import main

if __name__ == "__main__":
    main()
