"""CE-PO's causal coherence: how strongly each part of a reasoned answer drives the next."""
