"""Writing the code of a plan: steps as SQL, measures as numpy and scipy, for an analyst to read and re-run."""
