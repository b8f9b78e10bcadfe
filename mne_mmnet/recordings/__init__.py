"""Users' files: averages from what people have, estimates as files."""
