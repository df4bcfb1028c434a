"""Model access, embeddings, prices and the spend ledger."""

from __future__ import annotations

from kimera.llm.embeddings import Encoder, EncoderMissing, load_encoder

__all__ = ["Encoder", "EncoderMissing", "load_encoder"]
