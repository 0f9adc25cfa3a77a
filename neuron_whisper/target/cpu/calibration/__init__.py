"""Static scales of an 8-bit encoder, from speech: collect what its layers read, then search. Needs torch."""
