"""What scoring and saliency give, and the files they are saved in. No torch."""
