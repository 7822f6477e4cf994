"""The record of an incident: an index page, a page for each executed notebook, the log, and a
manifest with the hash of each. Readable offline without scripts, verifiable without imtkit.
"""
