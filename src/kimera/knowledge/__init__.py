"""From files to sources, tables, passages, and an index over them."""
