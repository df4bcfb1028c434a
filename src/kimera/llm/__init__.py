"""Model access, embeddings, prices and the spend ledger."""
