"""Looking at tables without a question: what columns hold, what goes together, what differs, what stands out."""
