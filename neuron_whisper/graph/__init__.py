"""The program: encode, prefill, decode, logits, align, written once."""
