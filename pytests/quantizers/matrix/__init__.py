"""Pairs of a quantizer's options, and what each layer kind makes of them."""
