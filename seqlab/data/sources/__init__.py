"""Sources: where data comes from; each ends in a Hugging Face DatasetDict."""
