"""``python -m utils.phrasebook`` trains the two small translators."""

from utils.phrasebook.command import main

if __name__ == "__main__":
    main()
