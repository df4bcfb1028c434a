"""State that survives: SQL rows, content-addressed blobs."""

from kimera.storage.blobs import Blobs, canonical_json, sha256_hex

__all__ = ["Blobs", "canonical_json", "sha256_hex"]
