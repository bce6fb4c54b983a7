"""The ways in which zero-shot scores are taken, by name: prompts, spelling of the names, images that count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from utils.category_names import category_words
from utils.choices import PROMPTS

if TYPE_CHECKING:
    from utils.clip import CLIP


@dataclass(frozen=True)
class Protocol:
    """How class names become a classifier, and which images count.

    Templates hold one ``{}`` for the class name; the embeddings of several are averaged. With ``split_names``
    'storagetanks' is written 'storage tanks', which the published figures do not. With ``class_lists`` every image
    counts, with a category from RSICD's 31 class lists; otherwise only those whose file name tells their category do.
    """

    name: str
    templates: tuple[str, ...]
    description: str = ""
    split_names: bool = False
    class_lists: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError if there is no template, or one has no place, or several, for the name."""
        if not self.templates or any(template.count("{}") != 1 for template in self.templates):
            raise ValueError(
                f"The protocol {self.name!r} needs templates with exactly one '{{}}' where the class name goes, not "
                f"{list(self.templates)}."
            )

    def prompts(self, class_name: str) -> tuple[str, ...]:
        """The texts that stand for a class, one a template."""
        name = category_words(class_name) if self.split_names else class_name
        # Not str.format, which would also read braces in the rest of the text.
        return tuple(template.replace("{}", name) for template in self.templates)


_PUBLISHED = "Prompt of CLIP-rsicd's {}: named test images, 30 unsplit names, score@k."

# The prompts that CLIP's authors published for RESISC45, aerial scenes: Radford et al. 2021, prompts.md of their code.
_AERIAL_TEMPLATES = tuple(
    f"{view} {kind} of {article}{{}}."
    for article in ("", "a ", "the ")
    for kind in ("imagery", "photo", "view")
    for view in ("satellite", "aerial")
)

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("documents", ("An aerial photograph of {}",), _PUBLISHED.format("documents")),
        Protocol("script", ("Aerial photograph of {}",), _PUBLISHED.format("script, which made its table")),
        # The misspelling is the notebook's own.
        Protocol("notebook", ("An arial photograph of a {}",), _PUBLISHED.format("notebook")),
        Protocol(
            "split_names",
            ("An aerial photograph of {}",),
            "As 'documents', but names of several words are written so: how much of a gain is spelling?",
            split_names=True,
        ),
        Protocol(
            "ensemble",
            _AERIAL_TEMPLATES,
            "CLIP's 18 published aerial prompts with split names, their embeddings averaged, at unit length again.",
            split_names=True,
        ),
        Protocol(
            "vt_rsbs",
            ("a remote sensing image of a {}",),
            "As the VT-RSBS benchmark: all 1,093 test images of RSICD, 31 classes out of its class lists.",
            class_lists=True,
        ),
    )
}
"""Every protocol by its name."""

PROMPT_TEMPLATES = {name: PROTOCOLS[name].templates[0] for name in PROMPTS}
"""The three prompts in use around CLIP-rsicd."""


def as_protocol(protocol: str | Protocol) -> Protocol:
    """Gives the protocol of a name, or makes one of a template with ``{}``; ValueError if there is no such protocol."""
    if isinstance(protocol, Protocol):
        return protocol
    if protocol in PROTOCOLS:
        return PROTOCOLS[protocol]
    if "{}" in protocol:
        return Protocol(protocol, (protocol,), "A custom prompt.")
    raise ValueError(
        f"There is no protocol {protocol!r}; choose one of {', '.join(PROTOCOLS)}, or give a prompt with '{{}}'."
    )


def class_prompts(class_names: Sequence[str], template: str) -> list[str]:
    """Fills a template, a text with one ``{}``, with each class name, unsplit; ValueError if it has no such place."""
    protocol = Protocol(template, (template,))
    return [protocol.prompts(name)[0] for name in class_names]


def embed_classes(
    model: CLIP, class_names: Sequence[str], protocol: str | Protocol = "documents"
) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """Makes a classifier of class names: (classes, dim) float32 of unit length, and the prompts of each class.

    Several templates are joined as in CLIP's own evaluation (Radford et al. 2021, section 3.1.4): unit vectors are
    averaged, and the average is scaled to unit length again. Raises ValueError if there is no name, a name repeats,
    there is no such protocol, or the prompts of a class cancel each other out.
    """
    from utils.clip import embed_texts, unit_length

    protocol = as_protocol(protocol)
    if not class_names or len(set(class_names)) < len(class_names):
        raise ValueError(f"A classifier needs class names that differ, at least one, not {list(class_names)}.")
    prompts = [protocol.prompts(name) for name in class_names]
    vectors = embed_texts(model, [text for texts in prompts for text in texts])
    if len(protocol.templates) == 1:
        return vectors, prompts
    means = vectors.reshape(len(prompts), len(protocol.templates), -1).mean(axis=1)
    # `unit_length` lets anything longer than 1e-12 pass; what is as short as this is rounding, not a direction.
    if not (np.linalg.norm(means, axis=1) > 1e-6).all():
        raise ValueError("The prompts of a class cancel each other out; the model or a template is broken.")
    return unit_length(means), prompts
