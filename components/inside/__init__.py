"""What happens inside a Phi: its parts switched off, its stream and attention recorded, lenses and patching. No step."""
