"""What is kept for how long, and how it is thinned out with age."""
