"""Build images on this machine that cannot be pulled here; start with `base_images`."""
