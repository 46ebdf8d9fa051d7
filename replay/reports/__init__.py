"""Reports on a window of time: every step of an incident, and what was used and refused.

Other rooms may import every module of it.
"""
