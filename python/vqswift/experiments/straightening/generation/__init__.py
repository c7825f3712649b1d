"""Table 9, Figures 4 and 11: images that a MaskGIT makes of a tokenizer's codes."""
