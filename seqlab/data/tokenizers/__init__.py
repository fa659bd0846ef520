"""Tokenizers, kind ``tokenizer``: text to ids and back."""
