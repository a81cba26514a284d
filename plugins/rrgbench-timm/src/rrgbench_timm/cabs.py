"""RadZero's way from an image's tokens and a text to how alike they are, and where."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def pooled(text: torch.Tensor, tokens: torch.Tensor, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The cosine of each text with the tokens that it attends to, (batch, texts), and its similarity with each token.

    VL-CABS (Park et al., RadZero, NeurIPS 2025; deepnoid-ai/RadZero, exp/cxr_pt/model/losses.py, SimilarityLogit with
    ``cos``): s = cos(text, token) / temperature, of shape (batch, texts, tokens); the tokens, each of length 1, are
    averaged by the softmax of s over them; the cosine is that of the text with the average. There the logit is the
    cosine / temperature and the map is s, and the sigmoid of either is read as a probability. ``text`` has the shape
    (texts, dim), ``tokens`` (batch, tokens, dim).
    """
    text, tokens = F.normalize(text, dim=-1), F.normalize(tokens, dim=-1)
    similarity = torch.einsum("pd,btd->bpt", text, tokens) / temperature
    attended = similarity.softmax(dim=-1) @ tokens
    return F.cosine_similarity(attended, text[None], dim=-1), similarity
