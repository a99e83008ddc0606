"""A stranger's programs in containers of the engine; `contained` runs one of them."""
