"""A run from the store as a file: the combined document, or its step graph."""
