"""What is made of scans beside the ranges themselves."""
