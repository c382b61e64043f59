"""What a person sees of a search: the live table, pictures, the report, TensorBoard's hparams. Reads a History, changes
nothing.
"""
