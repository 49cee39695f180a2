"""How good verdicts are on captions of which it is known which words are false."""
