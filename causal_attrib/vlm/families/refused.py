"""Model types that transformers takes for ones that turn a picture and text into text, and that are not read here."""

from __future__ import annotations

REFUSED = {
    "udop": "it reads words together with their places on a page, which a prompt does not have",
    "diffusion_gemma": "it writes whole blocks by diffusion and gives no probability of a token behind those before it",
    "evolla": "it is shown proteins and no pictures",
    "instructblipvideo": "it is shown films and no pictures",
    "mistral4": "it is shown text and no pictures",
    "pi0": "it answers with the movements of a robot and not with words",
    "shieldgemma2": "it answers with the probabilities of a few policies and not with words",
    "minicpm_ocr": "its processor cannot be built without torchvision, and its pictures cannot be put into one batch",
    "minicpmv4_6": "its processor cannot be built without torchvision, and its pictures cannot be put into one batch",
    "minicpmv4_7": "its processor cannot be built without torchvision, and its pictures cannot be put into one batch",
    "unlimited_ocr": "it sees all words of a text that it is given and only the last of those that it writes",
}
