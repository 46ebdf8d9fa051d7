"""Reports on a window of time: incidents, timelines and usage."""
