"""The program: encode, prefill, decode, align, written once."""
