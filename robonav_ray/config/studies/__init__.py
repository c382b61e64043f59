"""What is asked for where many whole runs answer one question."""
