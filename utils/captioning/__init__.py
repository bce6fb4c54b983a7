"""Write a caption for an image, and score captions against what people wrote."""

from utils.captioning.scores import CiderD, DocumentFrequency, caption_words, cider_d
