"""What stands in for data and weights where there is no network. It teaches nothing about CLIP.

`scenes` draws the miniature, `icons` what the starting checkpoint knows, `phrasebook` says captions in five languages,
and `pretraining` holds the commands that trained `data/checkpoints/`.
"""
