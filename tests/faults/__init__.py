"""What threatens a stream, each threat made to happen. See `README.md` for the rows and their commands."""
