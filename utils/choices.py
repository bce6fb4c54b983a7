"""Words and bounds of parameters, each written once: for the rooms that act on them and for what refuses others early.

They stand on the ground so that the runner of the course can ask for them without the packages that act on them.
"""

AUGMENTATIONS = ("aerial", "published", "none")
TRANSLATION_ENGINES = ("auto", "ctranslate2", "ctranslate2-int8", "transformers")
COMPUTE_DTYPES = ("float32", "bfloat16", "auto")
PROMPTS = ("documents", "script", "notebook")  # the published ones by name; any other is a template
LARGEST_VAL_SHARE = 0.5  # of train, where a data set has no val split
