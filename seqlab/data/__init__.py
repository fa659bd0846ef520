"""Data: from a source to batches. The only package that knows Hugging Face datasets."""
