"""A fake of Colab's modules. There is no google/__init__.py: it would hide google.protobuf from everybody."""
