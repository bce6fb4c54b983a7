"""``python -m standins.scenes`` draws the miniature."""

from standins.scenes.build import main

if __name__ == "__main__":
    main()
