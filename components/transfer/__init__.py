"""Knowledge transfer: a larger Phi that starts with what a smaller one knows."""
