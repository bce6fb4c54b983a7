"""The commands that trained `data/checkpoints/`: `clip` on icons, `translators` on phrases, `earth` on real images.

`rendered` measures what drawn images give before real ones. They train with the course's own loop, so they stand above
all of `utils`; nothing imports them.
"""
