"""Images that cannot be pulled here, made on this machine: `base_images` is the front door."""
