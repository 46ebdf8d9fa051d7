"""What several kinds of test share. Import it as ``support.…``."""
