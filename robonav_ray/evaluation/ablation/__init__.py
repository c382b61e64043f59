"""An ablation as a table, a picture and a file: what each part of a method is worth."""
