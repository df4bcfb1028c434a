"""What the code calls while it works: metrics, and the catalogue that declares them."""
