"""The research track: reads the documents and extracts claims with their spans."""
