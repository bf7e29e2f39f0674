"""Personal data and secrets in a text: their positions, and the text without them."""
