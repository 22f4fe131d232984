"""What the site of the documentation is made of, beside the pages of ``docs/``."""
