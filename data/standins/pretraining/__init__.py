"""The commands that trained `data/checkpoints/`: `clip` on icons, `translators` on the phrase book.

They train with the course's own loop, so they stand above all of `utils`; nothing imports them.
"""
