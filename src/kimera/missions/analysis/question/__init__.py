"""Reading what is asked: words, answer slots, columns and values, steps, measures, labels."""
