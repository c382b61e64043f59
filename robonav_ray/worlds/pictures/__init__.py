"""How a world looks: drawn, filmed, shown in a window or as text."""
