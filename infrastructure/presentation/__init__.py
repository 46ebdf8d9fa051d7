"""Presentation: results of the product as JSON, as sentences, and as a page; every face, such as cli, shows the same.

Other rooms import `shapes`, `wording`, `incident_page`, and `axes` for plots of their own.
"""
