"""File formats: bytes to rows, by registered classes. Each error names the file and the line."""
